package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"dynctl/deploy/local"
	"dynctl/state"
)

// raylet is a node beside the head.
type raylet struct {
	pid   int
	id    string
	infra bool // etcd, NATS and the frontend run there
	lost  int  // actors that go with it
}

// pickRaylet chooses a node while there are two of them, and says what it was found among.
func (w *world) pickRaylet(ctx context.Context) (raylet, []state.Unit, error) {
	units, _, err := w.observed(ctx)
	if err != nil {
		return raylet{}, nil, err
	}
	all, err := w.stack.Processes()
	if err != nil {
		return raylet{}, nil, err
	}
	var raylets []raylet
	for _, p := range all {
		if !strings.Contains(p.Command, "/raylet/raylet ") || strings.Contains(p.Command, " --head") {
			continue
		}
		_, rest, _ := strings.Cut(p.Command, "--node_id=")
		id, _, _ := strings.Cut(rest, " ")
		raylets = append(raylets, raylet{pid: p.PID, id: id})
	}
	if len(raylets) < 2 {
		return raylet{}, nil, errNotNow
	}
	victim := raylets[w.rnd.IntN(len(raylets))]
	for _, u := range units {
		for _, a := range u.Actors {
			if a.Node == victim.id {
				victim.lost++
				victim.infra = victim.infra || u.Unit == "infra"
			}
		}
	}
	return victim, units, nil
}

func on(node string) func(state.Unit, state.Actor) bool {
	return func(_ state.Unit, a state.Actor) bool { return a.Node == node }
}

// killRaylet ends one of the raylets and starts another one in its place.
func (w *world) killRaylet(ctx context.Context) (string, error) {
	victim, units, err := w.pickRaylet(ctx)
	if err != nil {
		return "", err
	}
	if victim.infra { // etcd, NATS and the frontend move
		w.strikeAll(infraLost)
		w.awaitInfra(units, infraLost)
	}
	w.strike(units, victim.id, on(victim.id), rayletKilled)
	if err := kill(victim.pid, syscall.SIGKILL); err != nil {
		return "", err
	}
	return fmt.Sprintf("with %d actors, infra %v", victim.lost, victim.infra), w.replaceRaylet(ctx)
}

// replaceRaylet starts another raylet after a while: what does not fit waits meanwhile.
func (w *world) replaceRaylet(ctx context.Context) error {
	time.Sleep(time.Duration(w.rnd.Int64N(int64(nodeAwayWait))))
	err := w.addRaylet(ctx)
	if err != nil {
		w.problem("%v", err)
	}
	return err
}

// addRaylet starts another raylet. Ray gives up by itself after 30 s, which a machine
// with much to do may need.
func (w *world) addRaylet(ctx context.Context) (err error) {
	for range 3 {
		w.nodes++
		if err = w.stack.AddNode(ctx, fmt.Sprintf("node-%d", w.nodes), w.setup.GPUs); err == nil {
			return nil
		}
		w.delay(rayletKilled)
	}
	return fmt.Errorf("no raylet starts in place of one that was killed, so the rest of the run says nothing: %w", err)
}

// hangRaylet has a raylet answer nothing until Ray has taken it for dead, alone or with all
// that runs on its node, and wakes it: nothing of what ran there may live on. The node of
// infra is spared: the frontend that hangs would keep its port, which on another machine
// would be another port.
func (w *world) hangRaylet(ctx context.Context) (string, error) {
	victim, units, err := w.pickRaylet(ctx)
	if err != nil {
		return "", err
	}
	if victim.infra {
		return "", errNotNow
	}
	w.setHung(true)
	defer w.setHung(false)
	for _, u := range units { // requests that were sent there wait, whoever else serves
		if len(u.Actors) > 0 && u.Actors[0].Node == victim.id {
			w.open(u.Model, rayletHung)
		}
	}
	w.strike(units, victim.id, on(victim.id), rayletHung)
	alone := w.rnd.IntN(2) == 0
	began := time.Now()
	stopped, err := stopNode(victim.pid, alone)
	if err != nil {
		return "", err
	}
	for !w.takenForDead(ctx, victim.id, began) {
		if time.Since(began) > time.Minute {
			w.problem("a raylet that hangs is not taken for dead within a minute")
			break
		}
		time.Sleep(pollPeriod)
	}
	took := time.Since(began)
	w.setHung(false)
	time.Sleep(time.Duration(w.rnd.IntN(5000)) * time.Millisecond)
	all, err := local.WithDescendants(victim.pid)
	wake(stopped)
	if err != nil {
		return "", err
	}
	w.requireEnded(victim.pid, append(stopped, all...))
	return fmt.Sprintf("with %d actors, alone %v, taken for dead after %.1f s", victim.lost, alone, took.Seconds()), w.replaceRaylet(ctx)
}

// stallNode has a node and all that runs on it stand still for less than Ray's patience:
// all of it has to go on as if nothing had been.
func (w *world) stallNode(ctx context.Context) (string, error) {
	victim, _, err := w.pickRaylet(ctx)
	if err != nil {
		return "", err
	}
	before := w.resting(ctx)
	began := time.Now()
	lasts := time.Duration(500+w.rnd.IntN(2000)) * time.Millisecond
	stopped, err := stopNode(victim.pid, false)
	if err != nil {
		return "", err
	}
	time.Sleep(lasts)
	wake(stopped)
	time.Sleep(settle)
	return fmt.Sprintf("with %d actors, infra %v, for %.1f s", victim.lost, victim.infra, lasts.Seconds()) +
		w.requireUntouched(ctx, before, began, nodeStalled), nil
}

// stopNode stops a raylet, and all below it unless it is alone.
func stopNode(raylet int, alone bool) (stopped []int, err error) {
	if err := kill(raylet, syscall.SIGSTOP); err != nil {
		return nil, err
	}
	stopped = []int{raylet}
	if alone {
		return stopped, nil
	}
	for range 2 { // what was started while the rest was being stopped
		all, err := local.WithDescendants(raylet)
		if err != nil {
			wake(stopped)
			return nil, err
		}
		for _, pid := range all {
			if !slices.Contains(stopped, pid) {
				_ = kill(pid, syscall.SIGSTOP) // root stops whatever lives
				stopped = append(stopped, pid)
			}
		}
	}
	return stopped, nil
}

func wake(pids []int) {
	for _, pid := range pids {
		_ = kill(pid, syscall.SIGCONT) // a raylet ends its own as soon as it wakes
	}
}

// endTime is what is left of a node that Ray took for dead has to end in once it wakes.
const endTime = 30 * time.Second

// requireEnded wants all to end but what is Ray's own: nothing of ours is in it, and a machine
// that is busy lets it take its time.
func (w *world) requireEnded(raylet int, pids []int) {
	defer func() { _ = kill(raylet, syscall.SIGKILL) }() // so that it is picked no more
	slices.Sort(pids)
	pids = slices.Compact(pids)
	for began := time.Now(); ; time.Sleep(pollPeriod) {
		left := oursOf(pids)
		if len(left) == 0 {
			return
		}
		if time.Since(began) > endTime {
			w.problem("of a node that was taken for dead this lives %s after it woke: %v", endTime, left)
			return
		}
	}
}

// raysOwn are the programs that Ray runs on a node for itself, by command line or title; the
// others end once the first has. A worker process goes by its command line until it has
// registered: it runs nothing before, and may wait long for a raylet that hangs meanwhile.
var raysOwn = []string{"/raylet/raylet ", "/dashboard/agent.py ", "/runtime_env/agent/main.py ", "/workers/default_worker.py ",
	"ray::DashboardAgent", "ray::RuntimeEnvAgent"}

// oursOf are those that live and run something for somebody.
func oursOf(pids []int) (out []local.Process) {
	for _, pid := range pids {
		p, err := local.ProcessOf(pid)
		if err == nil && local.Alive(pid) && !slices.ContainsFunc(raysOwn, func(program string) bool { return strings.Contains(p.Command, program) }) {
			out = append(out, p)
		}
	}
	return out
}

// raysPatience is the least in which Ray takes a node for dead that is silent, by the settings
// of make up.
const raysPatience = 8 * time.Second

// takenForDead reports whether the agent says so of a node that has been silent since then.
// One that is not listed is dead once it can be: an agent that has just begun lists it soon.
func (w *world) takenForDead(ctx context.Context, id string, since time.Time) bool {
	out, err := w.dynctl(ctx, "", "get", "nodes", "-o", "json")
	if err != nil {
		return false // asked again soon
	}
	var nodes []struct {
		ID    string
		Alive bool
	}
	if err := json.Unmarshal([]byte(out), &nodes); err != nil {
		return false
	}
	for _, n := range nodes {
		if n.ID == id {
			return !n.Alive
		}
	}
	return time.Since(since) > raysPatience
}

// setHung keeps every span open while a node hangs: what is sent there gets no answer,
// though others serve.
func (w *world) setHung(yes bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hung = yes
}
