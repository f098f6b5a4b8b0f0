package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"dynctl/state"
)

// errNotNow means that a fault has nothing to strike at the moment.
var errNotNow = errors.New("not now")

// step is one kind of fault; do says what it struck.
type step struct {
	kind   string
	weight int
	do     func(context.Context) (string, error)
}

func (w *world) steps() []step {
	var more []step
	if w.cfg.standby {
		more = w.standbySteps()
	}
	return append(more, []step{
		{"worker killed", 6, w.killWorker},
		{"worker stopped", 3, w.stopWorker},
		{"frontend killed", 2, w.killInfra("Frontend")},
		{"etcd killed", 2, w.killInfra("ETCD")},
		{"NATS killed", 2, w.killInfra("NATS")},
		{"etcd emptied", 1, w.emptyEtcd},
		{"actor killed", 4, w.killActor},
		{"agent killed", 2, w.killAgent},
		{"agent killed in a drain", 2, w.killAgentInDrain},
		{"agent killed in a start", 2, w.killAgentInStart},
		{"agent stopped", 1, w.stopAgent},
		{"reconciler killed", 2, w.killReconciler},
		{"raylet killed", 1, w.killRaylet},
		{"raylet hung", 1, w.hangRaylet},
		{"node stalled", 1, w.stallNode},
		{"agent cut off", 2, w.cutAgent},
		{"agent's link slow", 2, w.slowAgent},
		{"etcd cut off", 2, w.cutEtcd},
		{"etcd's link slow", 2, w.slowEtcd},
		{"group removed", 2, w.removeGroup},
		{"group of infra removed", 1, w.removeInfraGroup},
		{"disk full", 1, w.fillDisk},
		{"spec edited", 4, w.editSpec},
		{"spec edited and reverted", 2, w.editAndRevert},
		{"spec that does not start", 2, w.badGeneration},
		{"spec that is refused", 2, w.badSpec},
		{"model deleted", 2, w.deleteModel},
		{"spec deleted and put again", 2, w.deleteAndPut},
		{"model scaled", 3, w.scaleModel},
	}...)
}

// chosen are the steps of this run.
func (w *world) chosen() []step {
	return slices.DeleteFunc(w.steps(), func(s step) bool { return !w.cfg.only.MatchString(s.kind) })
}

func isFrontend(a state.Actor) bool { return strings.HasSuffix(a.Name, "_Dynamo_Frontend") }

// walk makes faults at random until the time is over.
func (w *world) walk(ctx context.Context) {
	watching, stop := context.WithCancel(ctx)
	w.watched = make(chan struct{})
	go func() { defer close(w.watched); w.watchSpans(watching) }()
	go w.watchCharge(ctx)
	w.stopWatch = stop
	steps := w.chosen()
	total := 0
	for _, s := range steps {
		total += s.weight
	}
	end := time.Now().Add(time.Duration(w.cfg.seconds) * time.Second)
	for time.Now().Before(end) && ctx.Err() == nil {
		s := steps[0]
		n := w.rnd.IntN(total)
		for _, s = range steps {
			if n -= s.weight; n < 0 {
				break
			}
		}
		began := time.Now()
		w.mu.Lock()
		w.faults = append(w.faults, fault{kind: s.kind, at: began})
		w.mu.Unlock()
		what, err := s.do(ctx)
		w.mu.Lock()
		if errors.Is(err, errNotNow) {
			w.faults = w.faults[:len(w.faults)-1]
		}
		w.mu.Unlock()
		if err != nil {
			w.say("(%s: %v)", s.kind, err)
		} else {
			w.say("%-26s %s", s.kind, what)
		}
		time.Sleep(time.Duration(300+w.rnd.IntN(3000)) * time.Millisecond)
	}
}

// pick chooses a running worker.
func (w *world) pick(ctx context.Context) (state.Unit, []state.Unit, error) {
	units, _, err := w.observed(ctx)
	if err != nil {
		return state.Unit{}, nil, err
	}
	var running []state.Unit
	for _, u := range units {
		if u.Unit != "infra" && u.State == state.UnitRunning {
			running = append(running, u)
		}
	}
	if len(running) == 0 {
		return state.Unit{}, nil, errNotNow
	}
	return running[w.rnd.IntN(len(running))], units, nil
}

func sameUnit(id string) func(state.Unit, state.Actor) bool {
	return func(u state.Unit, _ state.Actor) bool { return u.Unit == id }
}

func (w *world) killWorker(ctx context.Context) (string, error) {
	u, units, err := w.pick(ctx)
	if err != nil {
		return "", err
	}
	w.strike(units, "", sameUnit(u.Unit), workerKilled)
	return u.Unit, kill(u.Actors[0].ChildPID, syscall.SIGKILL)
}

func (w *world) stopWorker(ctx context.Context) (string, error) {
	u, units, err := w.pick(ctx)
	if err != nil {
		return "", err
	}
	w.strike(units, "", sameUnit(u.Unit), workerStopped)
	return u.Unit, kill(u.Actors[0].ChildPID, syscall.SIGSTOP)
}

// infraActor finds etcd, NATS or the frontend, and tells what it was found among.
func (w *world) infraActor(ctx context.Context, name string) (state.Actor, []state.Unit, state.Agent, error) {
	units, agent, err := w.observed(ctx)
	if err != nil {
		return state.Actor{}, nil, agent, err
	}
	a, err := actorOf(units, name)
	return a, units, agent, err
}

// actorOf finds etcd, NATS or the frontend while it has a process.
func actorOf(units []state.Unit, name string) (state.Actor, error) {
	for _, u := range units {
		for _, a := range u.Actors {
			if u.Unit == "infra" && strings.HasSuffix(a.Name, "_Dynamo_"+name) && a.ChildPID != 0 {
				return a, nil
			}
		}
	}
	return state.Actor{}, errNotNow
}

func (w *world) killInfra(name string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		a, units, agent, err := w.infraActor(ctx, name)
		if err != nil {
			return "", err
		}
		w.strike(units, "", func(_ state.Unit, x state.Actor) bool { return x.Name == a.Name }, frontendKilled)
		w.strikeService(a, units, agent)
		return fmt.Sprintf("attempt %d", a.Attempt), kill(a.ChildPID, syscall.SIGKILL)
	}
}

// emptyEtcd removes etcd's data under it. Everything is restarted, which is a
// gap for every model.
func (w *world) emptyEtcd(ctx context.Context) (string, error) {
	a, units, _, err := w.infraActor(ctx, "ETCD")
	if err != nil {
		return "", err
	}
	frontend, err := actorOf(units, "Frontend")
	if err != nil {
		return "", err
	}
	w.strikeAll(etcdEmptied)
	w.awaitAnew("Frontend", frontend, etcdEmptied)
	data := filepath.Join(w.setup.TempDir, "session_latest", "nemo_curator_dynamo_"+server+"_infra", "etcd_data")
	if err := os.RemoveAll(data); err != nil {
		return "", err
	}
	return "", kill(a.ChildPID, syscall.SIGKILL)
}

func (w *world) killActor(ctx context.Context) (string, error) {
	units, agent, err := w.observed(ctx)
	if err != nil {
		return "", err
	}
	var all []state.Actor
	for _, u := range units {
		for _, a := range u.Actors {
			if a.State == state.UnitRunning {
				all = append(all, a)
			}
		}
	}
	if len(all) == 0 {
		return "", errNotNow
	}
	a := all[w.rnd.IntN(len(all))]
	w.strike(units, "", func(_ state.Unit, x state.Actor) bool { return x.Name == a.Name }, actorKilled)
	w.strikeService(a, units, agent)
	return a.Name, kill(a.PID, syscall.SIGKILL)
}

func (w *world) killAgent(ctx context.Context) (string, error) {
	_, agent, err := w.observed(ctx)
	if err != nil {
		return "", err
	}
	w.agentEnd = agent.Incarnation
	w.delay(agentAway)
	return fmt.Sprintf("incarnation %d", agent.Incarnation), kill(agent.PID, syscall.SIGKILL)
}

// killAgentInDrain ends the agent while units drain: what it was told to stop has
// to be stopped by its successor.
func (w *world) killAgentInDrain(ctx context.Context) (string, error) {
	m, err := w.anyModel()
	if err != nil {
		return "", err
	}
	was := m.replicas
	m.replicas = 1 + was%2
	if err := w.set(ctx, m); err != nil {
		return "", err
	}
	time.Sleep(time.Duration(20+w.rnd.IntN(800)) * time.Millisecond)
	what, err := w.killAgent(ctx)
	return fmt.Sprintf("%s from %d to %d, %s", m.name, was, m.replicas, what), err
}

// killAgentInStart ends the agent while it makes groups and actors.
func (w *world) killAgentInStart(ctx context.Context) (string, error) {
	edited, err := w.editSpec(ctx)
	if err != nil {
		return "", err
	}
	time.Sleep(time.Duration(w.rnd.IntN(2000)) * time.Millisecond)
	what, err := w.killAgent(ctx)
	return edited + ", " + what, err
}

// stopAgent pauses the agent until its successor works, then wakes it: it may do
// no harm.
func (w *world) stopAgent(ctx context.Context) (string, error) {
	_, agent, err := w.observed(ctx)
	if err != nil {
		return "", err
	}
	wake, err := pause(agent.PID)
	if err != nil {
		return "", err
	}
	defer wake()
	w.delay(agentAway)
	for deadline := time.Now().Add(45 * time.Second); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		if _, next, err := w.observed(ctx); err == nil && next.Incarnation > agent.Incarnation && next.Synced {
			return fmt.Sprintf("incarnation %d, until %d worked", agent.Incarnation, next.Incarnation), nil
		}
	}
	w.problem("no successor of a stopped agent (incarnation %d) within 45 s", agent.Incarnation)
	return "without a successor", nil
}

func (w *world) killReconciler(ctx context.Context) (string, error) {
	if err := kill(w.reconciler, syscall.SIGKILL); err != nil {
		return "", err
	}
	w.delay(reconcilerAway)
	<-w.stack.ReconcilerEnded()
	time.Sleep(time.Duration(w.rnd.IntN(2000)) * time.Millisecond)
	began := time.Now()
	if err := w.startReconciler(ctx); err != nil {
		w.problem("the reconciler does not come back: %v", err)
		return "", err
	}
	return fmt.Sprintf("ready again in %.1f s", time.Since(began).Seconds()), nil
}

// removeInfraGroup takes etcd, NATS and the frontend away at once.
func (w *world) removeInfraGroup(ctx context.Context) (string, error) {
	units, _, err := w.observed(ctx)
	for _, u := range units {
		if u.Unit == "infra" && u.State == state.UnitRunning {
			w.strikeAll(infraRemoved)
			w.awaitInfra(units, infraRemoved)
			_, err := w.ray.ask("remove " + u.PlacementGroup.Name)
			return u.PlacementGroup.Name, err
		}
	}
	return "", errors.Join(err, errNotNow)
}

func (w *world) removeGroup(ctx context.Context) (string, error) {
	u, units, err := w.pick(ctx)
	if err != nil {
		return "", err
	}
	w.strike(units, "", sameUnit(u.Unit), groupRemoved)
	_, err = w.ray.ask("remove " + u.PlacementGroup.Name)
	return u.Unit, err
}
