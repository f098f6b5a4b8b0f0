package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"time"

	"dynctl/deploy/local"
	"dynctl/state"
)

// What is around a kill: so long before and after it a client begins a request every 5 ms,
// whatever became of those before.
const (
	beforeKill = time.Second
	afterKill  = 3 * time.Second
	// standbyIn is how long the next standby may take.
	standbyIn = 5 * time.Minute
)

// kills measures what clients see of the end of one worker of two, and how long an agent
// that stands by takes until it is at work.
func kills(ctx context.Context, cfg config, keep keeper) error {
	setup, err := stackConfig(cfg)
	if err != nil {
		return err
	}
	setup.ReconcilerArgs = []string{"--standby-agent"}
	return onCluster(ctx, cfg, setup, keep, func(b *bench) error { return b.kills(ctx) })
}

// planes are the ways of requests to workers, that by default first.
var planes = []string{state.PlaneNATS, state.PlaneTCP}

func (b *bench) kills(ctx context.Context) error {
	for _, plane := range planes {
		port, m, err := b.serveTwo(ctx, plane)
		if err != nil {
			return err
		}
		for run := range b.cfg.runs {
			if err := b.killWorker(ctx, port, m, run); err != nil {
				return err
			}
			if plane == planes[0] { // it does not matter to the agent
				if err := b.killActing(ctx, m); err != nil {
					return err
				}
			}
			if err := b.handOver(); err != nil {
				return err
			}
			b.say("kill %d of %d by %s is measured", run+1, b.cfg.runs, plane)
		}
		if err := b.ours.stop(ctx); err != nil {
			return err
		}
	}
	return nil
}

// serveTwo declares a server by a plane with one model of two workers, and waits until it is
// ready.
func (b *bench) serveTwo(ctx context.Context, plane string) (port int, m model, err error) {
	ports, err := local.FreePorts(1)
	if err != nil {
		return 0, m, err
	}
	m = aggregated("m")
	b.ours.plane = plane
	return ports[0], m, b.ours.serve(ctx, ports[0], m, "  replicas: 2\n")
}

// killWorker kills a worker under requests, and waits until all is well again.
func (b *bench) killWorker(ctx context.Context, port int, m model, run int) error {
	time.Sleep(settle)
	units, err := b.ours.workers(ctx)
	if err != nil {
		return err
	}
	if len(units) != 2 {
		return fmt.Errorf("%d workers run, want 2", len(units))
	}
	victim := units[run%2]
	was := victim.Actors[0]
	a := newAsker(ctx, port, m.Name)
	time.Sleep(beforeKill)
	at := time.Now()
	if err := syscall.Kill(was.ChildPID, syscall.SIGKILL); err != nil {
		return fmt.Errorf("a worker, pid %d: %w", was.ChildPID, err)
	}
	time.Sleep(afterKill)
	k := kill{b.ours.plane, a.stop(at)}
	for what, value := range k.figures() {
		b.out.note(what, k.Plane, value)
	}
	b.out.Kills = append(b.out.Kills, k)
	b.say("kill by %s: %s", k.Plane, k)
	err = poll(ctx, patience, "the worker runs again", func() (bool, error) {
		units, err := b.ours.workers(ctx)
		for _, u := range units {
			if u.Unit == victim.Unit && u.Actors[0].Attempt > was.Attempt {
				return true, err
			}
		}
		return false, err
	})
	if err != nil {
		return err
	}
	return b.ours.ready(ctx, m)
}

// killActing kills the agent in charge once another one stands by.
func (b *bench) killActing(ctx context.Context, m model) error {
	if err := poll(ctx, standbyIn, "an agent stands by", b.stands); err != nil {
		return err
	}
	time.Sleep(settle)
	if err := b.killAgent(ctx, "agent-standby"); err != nil {
		return err
	}
	return b.ours.ready(ctx, m)
}

// stands reports whether an agent stands by.
func (b *bench) stands() (bool, error) {
	resp, err := b.client.Get(b.stack.HTTPURL() + "/metrics")
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode == http.StatusOK && strings.Contains(string(text), "\ndynctl_standby_agent_ready 1\n"), err
}

// serve declares a server with one model and waits until it is ready.
func (o *ours) serve(ctx context.Context, port int, m model, lines ...string) error {
	if err := o.start(ctx, port, nil); err != nil {
		return err
	}
	o.models = append(o.models, m)
	if err := o.put(ctx, m, lines...); err != nil {
		return err
	}
	return o.ready(ctx, m)
}

func (o *ours) ready(ctx context.Context, m model) error {
	return o.dynctl(ctx, "wait", "model/"+m.Name, "--for", "Ready", "--timeout", patience.String())
}

// workers are the units of models that run, in the order of their names.
func (o *ours) workers(ctx context.Context) (out []state.Unit, err error) {
	units, err := o.units(ctx)
	for _, u := range units {
		if u.Model != "" && u.State == state.UnitRunning {
			out = append(out, u)
		}
	}
	return out, err
}
