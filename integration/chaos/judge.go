package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"dynctl/state"
)

// quietTime is how long the fleet may take to be as declared.
const quietTime = 2 * time.Minute

// anyStruck reports whether a span is open; none stays so past its limit.
func (w *world) anyStruck() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.spans.open) > 0
}

// problem notes what is wrong, to be told at the end.
func (w *world) problem(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.problems = append(w.problems, fmt.Sprintf(format, args...))
}

// quiesce waits until every spec is there, and Ready or waiting with a reason.
func (w *world) quiesce(ctx context.Context) []string {
	began := time.Now()
	var wrong []string
	for stable := 0; ; {
		if wrong = w.unsettled(ctx); len(wrong) == 0 {
			if stable++; stable == 4 {
				w.say("as declared %.1f s after the last fault", time.Since(began).Seconds())
				break
			}
		} else {
			stable = 0
		}
		if time.Since(began) > quietTime || ctx.Err() != nil {
			break
		}
		time.Sleep(500 * time.Millisecond)
	}
	for w.anyStruck() && ctx.Err() == nil {
		time.Sleep(pollPeriod)
	}
	w.stopWatch()
	<-w.watched
	wrong = append(wrong, w.unserved(ctx)...)
	w.mu.Lock()
	defer w.mu.Unlock()
	return append(w.problems, wrong...)
}

// unserved asks every model that is Ready at the end, each worker of it several times: a
// completion is what Ready promises.
func (w *world) unserved(ctx context.Context) (wrong []string) {
	statuses, err := w.statuses(ctx)
	if err != nil {
		return []string{err.Error()}
	}
	asked := 0
	for _, m := range w.declared() {
		s := statuses[m.name]
		if ready, _ := s.Condition(state.CondReady); ready.Status != state.StatusTrue {
			continue
		}
		for n := range 4 * max(m.replicas, 1) {
			one, cancel := context.WithTimeout(ctx, requestTimeout)
			err := ask(one, w.url("/v1/chat/completions"), m.name, n%4 == 0, fmt.Sprintf("last question %d", n))
			cancel()
			asked++
			if err != nil {
				wrong = append(wrong, fmt.Sprintf("%s is Ready at the end, and does not serve: %v", m.name, err))
			}
		}
	}
	w.say("%d completions asked of what is Ready, %d not served", asked, len(wrong))
	return wrong
}

func (w *world) unsettled(ctx context.Context) (wrong []string) {
	statuses, err := w.statuses(ctx)
	if err != nil {
		return []string{err.Error()}
	}
	units, agent, err := w.observed(ctx)
	if err != nil {
		return []string{err.Error()}
	}
	if !agent.Synced {
		return []string{"the agent is not synced"}
	}
	count := map[string]int{}
	for _, u := range units {
		count[u.Model+"/"+u.Role]++
		if u.State != state.UnitRunning {
			wrong = append(wrong, fmt.Sprintf("unit %s is %s: %s", u.Unit, u.State, u.Message))
		}
	}
	for _, m := range w.declared() {
		s, ok := statuses[m.name]
		if !ok {
			wrong = append(wrong, "the spec of "+m.name+" is lost")
			continue
		}
		wrong = append(wrong, m.unsettled(s, count)...)
	}
	return wrong
}

// unsettled is what is wrong with a model, by its status and its units, counted by
// model and role.
func (m *model) unsettled(s state.Status, count map[string]int) (wrong []string) {
	ready, _ := s.Condition(state.CondReady)
	scheduled, _ := s.Condition(state.CondScheduled)
	current, _ := s.Condition(state.CondUpToDate)
	roles := []string{state.RoleAggregated}
	if m.disagg {
		roles = []string{state.RolePrefill, state.RoleDecode}
	}
	switch {
	case s.AcceptedRevision != s.ObservedRevision:
		return []string{fmt.Sprintf("%s: revision %d is accepted, %d was asked for", m.name, s.AcceptedRevision, s.ObservedRevision)}
	case !m.servable && (scheduled.Status != state.StatusFalse || scheduled.Message == ""):
		return []string{fmt.Sprintf("%s cannot run and does not say why: %+v", m.name, scheduled)}
	case !m.servable:
		return nil
	case ready.Status != state.StatusTrue || current.Status != state.StatusTrue:
		return []string{fmt.Sprintf("%s is not Ready: %s %s; UpToDate: %s %s", m.name, ready.Reason, ready.Message, current.Reason, current.Message)}
	}
	for _, role := range roles {
		if n := count[m.name+"/"+role]; n != m.replicas {
			wrong = append(wrong, fmt.Sprintf("%s has %d %s units, want %d", m.name, n, role, m.replicas))
		}
	}
	return wrong
}

// leftovers wants no process, actor, group or lease besides those of the units.
func (w *world) leftovers(ctx context.Context) (wrong []string) {
	units, agent, err := w.observed(ctx)
	if err != nil {
		return []string{err.Error()}
	}
	pids, actors, groups, leases := map[int]bool{}, []string{}, []string{}, map[int64]bool{}
	endpoint, server := "", ""
	for _, u := range units {
		groups = append(groups, u.PlacementGroup.Name)
		for _, a := range u.Actors {
			actors = append(actors, a.Name)
			pids[a.ChildPID] = true
			if a.Lease != 0 {
				leases[a.Lease] = true
			}
			if p := a.Ports["etcd"]; p != 0 {
				endpoint, server = fmt.Sprintf("%s:%d", a.IP, p), u.Server
			}
		}
	}
	standby, err := w.standby(ctx)
	if err != nil && !errors.Is(err, errNotNow) {
		wrong = append(wrong, err.Error())
	}
	wrong = append(wrong, w.strayProcesses(pids, agent, standby)...)
	listed, err := w.ray.ask("list")
	if err != nil {
		return append(wrong, err.Error())
	}
	slices.Sort(actors)
	slices.Sort(groups)
	if !slices.Equal(actors, listed.Actors) {
		wrong = append(wrong, fmt.Sprintf("Ray holds the actors %v, the units are %v", listed.Actors, actors))
	}
	if !slices.Equal(groups, listed.Groups) {
		wrong = append(wrong, fmt.Sprintf("Ray holds the groups %v, the units are %v", listed.Groups, groups))
	}
	return append(wrong, w.strayLeases(ctx, server, endpoint, leases)...)
}

// strayProcesses looks for engines, frontends, etcd, NATS and agents that belong
// to no unit.
func (w *world) strayProcesses(pids map[int]bool, agent state.Agent, standby state.StandbyAgent) (wrong []string) {
	all, err := w.stack.Processes()
	if err != nil {
		return []string{err.Error()}
	}
	for _, p := range all {
		engine := strings.Contains(p.Command, "-m dynamo.") || strings.Contains(p.Command, "etcd --listen-client-urls") || strings.Contains(p.Command, "nats-server -p ")
		if engine && !pids[p.PID] {
			wrong = append(wrong, fmt.Sprintf("process %d belongs to no unit: %s", p.PID, p.Command))
		}
		if strings.Contains(p.Command, "-m dynctl_agent") && p.PID != agent.PID && p.PID != standby.PID && !strings.Contains(p.Command, "sh -c") {
			wrong = append(wrong, fmt.Sprintf("process %d is an agent that is not in charge (%d is), and does not stand by (%d does)", p.PID, agent.PID, standby.PID))
		}
	}
	return wrong
}

func (w *world) strayLeases(ctx context.Context, server, endpoint string, known map[int64]bool) (wrong []string) {
	var login struct{ User, Password string }
	if answer, err := w.nc.Request("dynctl.agent.access", fmt.Appendf(nil, `{"server": %q}`, server), 10*time.Second); err != nil {
		return []string{"the credential of etcd: " + err.Error()}
	} else if err := json.Unmarshal(answer.Data, &login); err != nil {
		return []string{"the credential of etcd: " + err.Error()}
	}
	c, err := clientv3.New(clientv3.Config{
		Endpoints: []string{endpoint}, DialTimeout: 2 * time.Second, Logger: zap.NewNop(), Username: login.User, Password: login.Password,
	})
	if err != nil {
		return []string{err.Error()}
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r, err := c.Get(ctx, "v1/instances/", clientv3.WithPrefix())
	if err != nil {
		return []string{err.Error()}
	}
	found := map[int64]bool{}
	for _, kv := range r.Kvs {
		found[kv.Lease] = true
		if !known[kv.Lease] {
			wrong = append(wrong, fmt.Sprintf("lease %x of %s belongs to no worker", kv.Lease, kv.Key))
		}
	}
	for lease := range known {
		if !found[lease] {
			wrong = append(wrong, fmt.Sprintf("a worker's lease %x is not registered", lease))
		}
	}
	return wrong
}

// row counts the requests sent after a kind of fault, until the next one.
type row struct{ faults, sent, failed, excused int }

// reportSpans prints what was excused, for how long, and how that compares to its bounds.
func (w *world) reportSpans() {
	fmt.Printf("\n%-38s %6s %9s %9s %9s %6s %9s\n", "requests may fail after", "spans", "in all", "longest", "bound", "late", "excused")
	for _, r := range w.spans.table() {
		fmt.Printf("%-38s %6d %7.1f s %7.1f s %7.1f s %6d %9d\n", r.cause.text, r.spans, r.sum.Seconds(), r.longest.Seconds(),
			r.cause.bound().Seconds(), r.late, r.excused)
	}
	now := time.Now()
	for _, name := range w.servable() {
		sum := w.spans.share(name, w.began, now)
		fmt.Printf("%s was struck for %.0f of %.0f s\n", name, sum.Seconds(), now.Sub(w.began).Seconds())
	}
	fmt.Println("A fault in a span, or a time without agent or reconciler, grants it more than its bound.")
	fmt.Println()
}

// report prints the table and returns the failures that nothing excuses.
func (w *world) report(c *clients) (wrong []string) {
	rows := map[string]*row{}
	at := func(kind string) *row {
		if rows[kind] == nil {
			rows[kind] = &row{}
		}
		return rows[kind]
	}
	for _, f := range w.faults {
		at(f.kind).faults++
	}
	// The first lines are the most telling; thousands say no more.
	const told = 40
	unexcused, alike := 0, map[string]int{}
	for _, r := range c.sent {
		kind := "(nothing yet)"
		for _, f := range w.faults {
			if f.at.Before(r.to) {
				kind = f.kind
			}
		}
		x := at(kind)
		x.sent++
		if r.err == nil {
			continue
		}
		x.failed++
		if w.spans.excuse(r) != nil {
			x.excused++
			continue
		}
		alike[fmt.Sprintf("%s: %.60s", r.model, r.err)]++
		if unexcused++; unexcused <= told {
			wrong = append(wrong, fmt.Sprintf("a request to %s (stream: %v), from %.2f s to %.2f s, after %q: %v",
				r.model, r.stream, r.from.Sub(w.began).Seconds(), r.to.Sub(w.began).Seconds(), kind, r.err))
		}
	}
	fmt.Printf("\n%-28s %7s %8s %7s %13s\n", "fault", "faults", "requests", "failed", "with a reason")
	for _, kind := range slices.Sorted(maps.Keys(rows)) {
		x := rows[kind]
		fmt.Printf("%-28s %7d %8d %7d %13d\n", kind, x.faults, x.sent, x.failed, x.excused)
	}
	fmt.Printf("%-28s %7d %8d\n", "all", len(w.faults), len(c.sent))
	w.reportSpans()
	if unexcused > 0 {
		wrong = append(wrong, fmt.Sprintf("%d requests failed without a reason: %v", unexcused, alike))
	}
	return wrong
}
