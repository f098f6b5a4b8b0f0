package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"dynctl/deploy/local"
)

const (
	pollEvery = 5 * time.Millisecond
	// settle is between two measurements: Ray ends workers that are idle for a second.
	settle   = 2 * time.Second
	patience = 2 * time.Minute
)

// bench is a cluster with a reconciler and the contenders.
type bench struct {
	cfg    config
	setup  local.Config
	stack  *local.Stack
	log    *os.File
	ours   *ours
	floor  *floor
	peer   *curator
	client http.Client
	out    measured // of the run that is under way
	keep   keeper
}

// starts measures what begins and ends on a real Ray, beside floor and peer.
func starts(ctx context.Context, cfg config, keep keeper) error {
	setup, err := stackConfig(cfg)
	if err != nil {
		return err
	}
	return onCluster(ctx, cfg, setup, keep, func(b *bench) error { return b.all(ctx) })
}

// all measures everything so often, and hands over each thing that all contenders have done.
func (b *bench) all(ctx context.Context) error {
	if err := b.startContenders(); err != nil {
		return err
	}
	four := []model{aggregated("a"), aggregated("b"), aggregated("c"), aggregated("d")}
	steps := []func(run int) error{
		func(run int) error { return b.inTurn(ctx, run, "start-1", four[:1], four[1:2]) },
		func(run int) error { return b.heals(ctx, run) },
		func(run int) error { return b.inTurn(ctx, run, "start-1P1D", []model{disaggregated("p")}, nil) },
		func(run int) error { return b.inTurn(ctx, run, "start-4", four, nil) },
	}
	for run := range b.cfg.runs {
		for _, step := range steps {
			if err := step(run); err != nil {
				return err
			}
			if err := b.handOver(); err != nil {
				return err
			}
		}
		b.say("run %d of %d is measured", run+1, b.cfg.runs)
	}
	return nil
}

// inTurn has each contender do the same; nobody is always the first.
func (b *bench) inTurn(ctx context.Context, run int, what string, models, more []model) error {
	contenders := []contender{b.floor, b.ours, b.peer}
	for i := range contenders {
		if err := b.startsOf(ctx, contenders[(run+i)%len(contenders)], what, models, more); err != nil {
			return err
		}
	}
	return nil
}

// startsOf starts models, then more if asked, and ends all.
func (b *bench) startsOf(ctx context.Context, c contender, what string, models, more []model) error {
	ports, err := local.FreePorts(1)
	if err != nil {
		return err
	}
	if err := b.start(ctx, c, what, ports[0], models); err != nil {
		return fmt.Errorf("%s of %s: %w", what, c.name(), err)
	}
	if len(more) > 0 {
		if err := b.start(ctx, c, "put", ports[0], more); err != nil {
			return fmt.Errorf("one more model of %s: %w", c.name(), err)
		}
	}
	begun := time.Now()
	if err := c.stop(ctx); err != nil {
		return fmt.Errorf("the end of %s of %s: %w", what, c.name(), err)
	}
	if what == "start-1" {
		b.out.add("stop", c.name(), time.Since(begun))
	}
	return nil
}

// start has models started and asks for each until it has answered.
func (b *bench) start(ctx context.Context, c contender, what string, port int, models []model) error {
	time.Sleep(settle)
	idle, err := idleWorkers(b.stack)
	if err != nil {
		return err
	}
	begun := time.Now()
	returned := make(chan error, 1)
	go func() { returned <- c.start(ctx, port, models) }()
	for _, m := range models {
		ask := func() (bool, error) {
			if len(returned) > 0 {
				err := <-returned
				if returned <- err; err != nil {
					return false, err
				}
			}
			return b.firstToken(ctx, port, m.Name), nil
		}
		if err := poll(ctx, patience, m.Name+" answers", ask); err != nil {
			return err
		}
	}
	took := time.Since(begun)
	if err := <-returned; err != nil {
		return err
	}
	b.out.add(what, c.name(), took)
	b.out.add(what+"-returned", c.name(), time.Since(begun))
	b.say("%-10s %-5s %5d ms (%d idle workers before)", what, c.name(), took.Milliseconds(), idle)
	t, err := lookBack(b.stack, begun)
	if err != nil {
		return err
	}
	t.What, t.Who, t.Ms, t.Idle = what, c.name(), milliseconds(took), idle
	if o, is := c.(*ours); is {
		if t.Events, err = o.happened(ctx, begun); err != nil {
			return err
		}
	}
	b.out.Timelines = append(b.out.Timelines, t)
	return nil
}

// firstToken reports whether a model has begun to answer.
func (b *bench) firstToken(ctx context.Context, port int, name string) bool {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	body := fmt.Sprintf(`{"model": %q, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 2, "stream": true}`, name)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("http://127.0.0.1:%d/v1/chat/completions", port), strings.NewReader(body))
	if err != nil {
		return false
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := b.client.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		_, _ = io.Copy(io.Discard, resp.Body) // so that the connection is used again
		return false
	}
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: ")); ok {
			return bytes.Contains(data, []byte(`"choices"`))
		}
	}
	return false
}

var errFailed = errors.New("a request failed")
