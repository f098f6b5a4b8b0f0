package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"dynctl/deploy/local"
	"dynctl/state"
	"dynctl/state/kv/natsd/natsdtest"
)

// ways are what leads through a gate, so that it can fail without netem: the agent's
// connections to NATS, and the reconciler's to Dynamo's etcd. The reconciler and its own
// NATS are one process: no network is between them.
type ways struct{ agent, etcd *natsdtest.Gate }

// openWays has a stack's programs go through gates.
func openWays(setup *local.Config, nats string) (g ways, err error) {
	if g.agent, err = natsdtest.OpenGate(nats); err != nil {
		return g, err
	}
	if g.etcd, err = natsdtest.OpenProxy(); err != nil {
		g.agent.Close()
		return g, err
	}
	setup.ReconcilerArgs = append(setup.ReconcilerArgs, "--advertise-nats-url="+g.agent.URL())
	// Of what the reconciler dials gRPC alone takes this: its etcd client. The address of a
	// managed etcd is known once it runs, so no gate could be put in front of it before.
	setup.ReconcilerEnv = append(setup.ReconcilerEnv, "HTTPS_PROXY=http://"+g.etcd.Addr(), "NO_PROXY=")
	return g, nil
}

func (g ways) close() {
	g.agent.Close()
	g.etcd.Close()
}

// cutWays are the two ways in which a connection goes away.
var cutWays = []struct {
	name string
	cut  func(*natsdtest.Gate)
}{{"silent", (*natsdtest.Gate).Shut}, {"refused", (*natsdtest.Gate).Refuse}}

// longestCut is longer than the silence after which another agent is sent.
const longestCut = 16 * time.Second

// What a slow way stalls for, and how often.
const (
	mostStalls    = 4
	betweenStalls = 2 * time.Second
	longestStall  = 2500 * time.Millisecond
)

// cutAgent has nothing pass between the agent and NATS for a while.
func (w *world) cutAgent(ctx context.Context) (string, error) {
	return w.cutOff(ctx, w.ways.agent, agentCut)
}

// cutEtcd has nothing pass between the reconciler and Dynamo's etcd for a while: it does not
// know who is registered, and can revoke nothing.
func (w *world) cutEtcd(ctx context.Context) (string, error) {
	return w.cutOff(ctx, w.ways.etcd, etcdCut)
}

func (w *world) cutOff(ctx context.Context, gate *natsdtest.Gate, c cause) (string, error) {
	if !gate.Passing() {
		return "", errNotNow
	}
	how := cutWays[w.rnd.IntN(len(cutWays))]
	lasts := time.Second + time.Duration(w.rnd.Int64N(int64(longestCut-time.Second)))
	what, err := w.whileItFails(ctx, gate, c, func() {
		how.cut(gate)
		time.Sleep(lasts)
	})
	return fmt.Sprintf("%s for %.1f s%s", how.name, lasts.Seconds(), what), err
}

// slowAgent has the agent and NATS far from each other for a while.
func (w *world) slowAgent(ctx context.Context) (string, error) {
	return w.slowDown(ctx, w.ways.agent, agentSlow)
}

// slowEtcd has the reconciler and Dynamo's etcd far from each other for a while: it hears of
// registrations late, and revokes late.
func (w *world) slowEtcd(ctx context.Context) (string, error) {
	return w.slowDown(ctx, w.ways.etcd, etcdSlow)
}

// slowDown has all that passes take 200 ms longer each way, a twentieth of it a second more,
// as where packets are lost, and stall now and then.
func (w *world) slowDown(ctx context.Context, gate *natsdtest.Gate, c cause) (string, error) {
	if !gate.Passing() {
		return "", errNotNow
	}
	stalls := 1 + w.rnd.IntN(mostStalls)
	each := 500*time.Millisecond + time.Duration(w.rnd.Int64N(int64(longestStall-500*time.Millisecond)))
	what, err := w.whileItFails(ctx, gate, c, func() {
		gate.Delay(200 * time.Millisecond)
		gate.Lose(0.05, time.Second)
		for range stalls {
			time.Sleep(betweenStalls)
			gate.Shut()
			time.Sleep(each)
			gate.Open()
		}
		gate.Delay(0)
		gate.Lose(0, 0)
	})
	return fmt.Sprintf("with %d stalls of %.1f s%s", stalls, each.Seconds(), what), err
}

// whileItFails has a way fail, and asks for something or kills a worker meanwhile. What had
// nothing to do with it has to run on as it was.
func (w *world) whileItFails(ctx context.Context, gate *natsdtest.Gate, c cause, fail func()) (string, error) {
	w.delay(c)
	before := w.resting(ctx)
	began := time.Now()
	done := make(chan struct{})
	go func() { defer close(done); fail() }()
	time.Sleep(time.Duration(w.rnd.IntN(2000)) * time.Millisecond)
	what, err := w.meanwhile(ctx)
	<-done
	gate.Open()
	if !w.agentInCharge(ctx, time.Now()) {
		w.problem("no agent is in charge %s after the end of: %s", inCharge, c.text)
		return what, err
	}
	return what + w.requireUntouched(ctx, before, began, c), err
}

// inCharge is what an agent has to take over in once nothing is in its way: it, or the one
// that was sent in its place.
const inCharge = 45 * time.Second

func (w *world) agentInCharge(ctx context.Context, since time.Time) bool {
	for time.Since(since) < inCharge {
		if _, agent, err := w.observed(ctx); err == nil && agent.Synced && agent.At.After(since) {
			return true
		}
		time.Sleep(100 * time.Millisecond)
	}
	return false
}

// meanwhile does nothing, or what a fleet has to bear besides.
func (w *world) meanwhile(ctx context.Context) (string, error) {
	also := []struct {
		kind string
		do   func(context.Context) (string, error)
	}{{", killed", w.killWorker}, {", edited", w.editSpec}, {", scaled", w.scaleModel}}
	n := w.rnd.IntN(2 * len(also))
	if n >= len(also) {
		return "", nil
	}
	what, err := also[n].do(ctx)
	return also[n].kind + " " + what, err
}

// execution tells one execution of a unit from another.
type execution struct {
	model, group string
	began        time.Time
}

func executionOf(u state.Unit) execution {
	return execution{u.Model, u.PlacementGroup.ID, u.Actors[0].StartedAt}
}

// resting are the executions of models of which nothing was asked and which nothing struck
// for a while, by unit: no fault of a network may end one.
func (w *world) resting(ctx context.Context) map[string]execution {
	out := map[string]execution{}
	if w.isOpen(frontendSpan) || !w.executedAnew(ctx) {
		return out
	}
	statuses, err := w.statuses(ctx)
	if err != nil {
		return out // the reconciler is on its way; there is always another fault
	}
	units, _, err := w.observed(ctx)
	if err != nil {
		return out
	}
	for _, u := range units {
		if u.Model != "" && u.State == state.UnitRunning && w.rests(u.Model, statuses[u.Model]) {
			out[u.Unit] = executionOf(u)
		}
	}
	return out
}

// restsAfter is how long after an edit or a fault a model that is Ready and UpToDate is
// taken to rest: its status has heard of it by then.
const restsAfter = 10 * time.Second

func (w *world) rests(model string, s state.Status) bool {
	ready, _ := s.Condition(state.CondReady)
	current, _ := s.Condition(state.CondUpToDate)
	return ready.Status == state.StatusTrue && current.Status == state.StatusTrue && !w.isOpen(model) &&
		time.Since(w.lastTouched(model)) > restsAfter
}

// touch notes that a model was struck, or that something was asked of it.
func (w *world) touch(model string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.touched[model] = time.Now()
}

func (w *world) lastTouched(model string) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.touched[model]
}

// requireUntouched notes what was ended or executed again though nothing but a network
// failed, and says how much was looked at.
func (w *world) requireUntouched(ctx context.Context, before map[string]execution, began time.Time, c cause) string {
	units, _, err := w.observed(ctx)
	if err != nil {
		w.problem("after: %s: %v", c.text, err)
		return ""
	}
	now := map[string]execution{}
	for _, u := range units {
		if len(u.Actors) > 0 {
			now[u.Unit] = executionOf(u)
		}
	}
	wrong, looked := endedBy(before, now, func(model string) bool { return w.lastTouched(model).After(began) })
	if len(wrong) > 0 {
		w.problem("%s, and of what nothing else struck: %s", c.text, strings.Join(wrong, "; "))
	}
	return fmt.Sprintf(" (%d of %d units were at rest)", looked, len(units))
}

// endedBy tells, by unit, what is not the execution any more that it was, and how much was
// looked at: not the models that something else touched.
func endedBy(before, now map[string]execution, touched func(model string) bool) (wrong []string, looked int) {
	for _, unit := range slices.Sorted(maps.Keys(before)) {
		was := before[unit]
		if touched(was.model) {
			continue
		}
		looked++
		if is, ok := now[unit]; !ok {
			wrong = append(wrong, unit+" is gone")
		} else if is != was {
			wrong = append(wrong, fmt.Sprintf("%s, begun at %s, was executed again at %s", unit, was.began.Format(clock), is.began.Format(clock)))
		}
	}
	return wrong, looked
}
