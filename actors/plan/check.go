package plan

import (
	"fmt"
	"slices"

	"dynctl/actors"
	"dynctl/state"
)

// invariant is a sentence that holds of every result, whatever the input.
type invariant struct {
	name string
	// broken says how a result breaks it, once for each time.
	broken func(*checked) []string
}

// The invariants, in the order of the harm that breaking one does.
var invariants = []invariant{
	{"nothing is done while either side is not fully known", (*checked).actsBlind},
	{"what another store or nobody of ours has started is not touched", (*checked).touchesOthers},
	{"the lease of a process that lives is never revoked", (*checked).revokesLive},
	{"no unit is started and stopped, or asked for twice, in one result", (*checked).asksTwice},
	{"no more GPUs are promised than are free", (*checked).promisesTooMuch},
	{"a unit that serves is stopped for a roll only where the budget of its role, or the whole of its generation, allows it", (*checked).overBudget},
	{"no roll leaves an old generation with prefill workers alone", (*checked).leavesHalf},
	{"every action has a reason", (*checked).withoutReason},
}

// Check returns what of the invariants a result breaks, in their order; nil when all hold.
// It looks at the input and the result alone, and not at how one was made of the other.
func Check(in actors.Input, r actors.Result) []string {
	c := &checked{in: in, r: r, units: map[state.UnitKey]*state.Unit{}, stopped: map[state.UnitKey]string{}}
	for _, u := range in.Observed.Units {
		c.units[u.Key()] = u
	}
	for _, s := range r.Stops {
		c.stopped[s.Key] = s.Reason
	}
	var out []string
	for _, i := range invariants {
		for _, how := range i.broken(c) {
			out = append(out, i.name+": "+how)
		}
	}
	return out
}

// checked is a result with what it rests on.
type checked struct {
	in      actors.Input
	r       actors.Result
	units   map[state.UnitKey]*state.Unit
	stopped map[state.UnitKey]string // with the reason
	models  []*model                 // classified; nil: not asked yet
}

func (c *checked) actsBlind() (out []string) {
	known := c.in.Desired.Synced && c.in.Observed.Synced && !agentLost(c.in)
	if n := len(c.r.Starts) + len(c.r.Stops) + len(c.r.Sweeps) + len(c.r.Revokes) + len(c.r.Gates) + len(c.r.Lifts); !known && n > 0 {
		out = append(out, fmt.Sprintf("%d actions", n))
	}
	return out
}

func (c *checked) touchesOthers() (out []string) {
	for _, s := range c.r.Stops {
		if u, ok := c.units[s.Key]; !ok || u.StoreID != c.in.Policy.StoreID {
			out = append(out, fmt.Sprintf("%s of store %q is stopped", s.Key, u.StoreID))
		}
	}
	for _, s := range c.r.Starts {
		k := keyOf(s.Template)
		if u, ok := c.units[k]; ok && u.StoreID != c.in.Policy.StoreID {
			out = append(out, fmt.Sprintf("%s of store %q is started", k, u.StoreID))
		}
	}
	for _, s := range c.r.Sweeps {
		u, ok := c.units[s.Key]
		ours := u.StoreID == c.in.Policy.StoreID
		if _, seen := c.in.Suspects[s.Key]; !ok || !seen || !ours && (u.StoreID != "" || u.JobAlive) {
			out = append(out, fmt.Sprintf("%s of store %q is swept", s.Key, u.StoreID))
		}
	}
	return out
}

func (c *checked) revokesLive() (out []string) {
	if len(c.r.Revokes) == 0 {
		return nil
	}
	owners := ownersOf(c.in.Observed.Units)
	for _, x := range c.r.Revokes {
		if owners[x.Lease] > 0 {
			out = append(out, fmt.Sprintf("lease %d of server %s", x.Lease, x.Key.Server))
		}
	}
	return out
}

func (c *checked) asksTwice() (out []string) {
	seen := map[state.UnitKey]bool{}
	note := func(k state.UnitKey) {
		if seen[k] {
			out = append(out, k.String())
		}
		seen[k] = true
	}
	for _, s := range c.r.Starts {
		note(keyOf(s.Template))
	}
	for _, s := range c.r.Stops {
		note(s.Key)
	}
	for _, s := range c.r.Sweeps {
		note(s.Key)
	}
	return out
}

// promisesTooMuch counts the GPUs of the groups that are asked for, where none waits for
// nodes to come.
func (c *checked) promisesTooMuch() []string {
	asked := 0
	back := map[state.Key]string{} // models of which a generation is brought back
	for _, s := range c.r.Starts {
		u, ok := c.units[keyOf(s.Template)]
		if ok && s.Placement.Number <= u.Attempt || s.Template.PlacementTimeout == 0 {
			continue
		}
		if s.Reason == actors.ReasonPlacementRetry {
			back[state.ModelKey(s.Template.Server, s.Template.Model)] = s.Template.Generation
		}
		for _, b := range s.Template.PlacementGroup.Bundles {
			asked += b.GPU
		}
	}
	if asked == 0 {
		return nil
	}
	free := 0
	// What waits for a node in the place of one that died holds none for long, and what
	// waits for its first place yields to a generation that served.
	leaves := func(u *state.Unit) bool {
		g, yields := back[state.ModelKey(u.Server, u.Model)]
		return unplaced(u) || u.PlacementGroup.State == state.GroupRescheduling || yields && u.Generation != g && u.PlacementGroup.State != state.GroupCreated
	}
	units, _ := (&glance{}).sorted(c.in.Observed.Units)
	for _, n := range newLedger(c.in.Observed.Nodes, units, new(holdingOf(units))).without(leaves) {
		if n.Alive {
			free += max(n.FreeGPUs, 0)
		}
	}
	if asked <= free {
		return nil
	}
	return []string{fmt.Sprintf("%d are asked for, %d are free", asked, free)}
}

func (c *checked) withoutReason() (out []string) {
	note := func(k state.UnitKey, reason string) {
		if actors.ReasonText(reason) == "" {
			out = append(out, fmt.Sprintf("%s %q", k, reason))
		}
	}
	for _, s := range c.r.Starts {
		note(keyOf(s.Template), s.Reason)
	}
	for _, s := range c.r.Stops {
		note(s.Key, s.Reason)
	}
	for _, s := range c.r.Sweeps {
		note(s.Key, s.Reason)
	}
	for _, s := range c.r.Revokes {
		note(s.Key, s.Reason)
	}
	return out
}

func keyOf(t actors.UnitTemplate) state.UnitKey {
	return state.UnitKey{Server: t.Server, Unit: t.Unit}
}

// rolled are the models of which a unit that gets requests is stopped for a roll, classified.
func (c *checked) rolled() []*model {
	forRoll := func(why string) bool { return why == actors.ReasonRollOld || why == actors.ReasonMakeRoom }
	if c.models != nil || !slices.ContainsFunc(c.r.Stops, func(s actors.End) bool { return forRoll(s.Reason) }) {
		return c.models
	}
	r := newRound(c.in, &Memory{})
	r.begin()
	r.classify()
	for _, m := range r.wakeful() {
		if slices.ContainsFunc(m.units, func(u *unit) bool { return u.is(serving) && !m.unchosen(u) && forRoll(c.stopped[u.Key()]) }) {
			c.models = append(c.models, m)
		}
	}
	return c.models
}

// overBudget judges, role by role, how many serve after the stops of a roll. A generation
// of several roles, or of other ones than the wanted, may have to leave as a whole to make
// room; then none of it is left behind that serves alone.
func (c *checked) overBudget() (out []string) {
	for _, m := range c.rolled() {
		if m.unheard() {
			out = append(out, fmt.Sprintf("model %s/%s: who serves is not known", m.Server, m.Name))
			continue
		}
		if m.disagg() || len(m.strays) > 0 {
			continue // leavesHalf judges these
		}
		goesOn := func(u *unit) bool { return u.is(serving) && !m.unchosen(u) && !c.stoppedForRoll(u) }
		for _, r := range m.roles {
			left := count(r.fresh, goesOn) + count(r.old, goesOn)
			if least := r.count - c.mayBeMissing(m); left < least {
				out = append(out, fmt.Sprintf("model %s/%s: %d of role %q would serve, %d have to", m.Server, m.Name, left, r.Role, least))
			}
		}
	}
	return out
}

func (c *checked) stoppedForRoll(u *unit) bool {
	why := c.stopped[u.Key()]
	return why == actors.ReasonRollOld || why == actors.ReasonMakeRoom
}

// mayBeMissing is how many replicas may be missing: one more than by default where room is
// made.
func (c *checked) mayBeMissing(m *model) int {
	makes := slices.ContainsFunc(m.units, func(u *unit) bool { return c.stopped[u.Key()] == actors.ReasonMakeRoom })
	if makes {
		return m.maxUnavailable(1)
	}
	return m.maxUnavailable(0)
}

func (c *checked) leavesHalf() (out []string) {
	for _, m := range c.rolled() {
		left, decodes := map[string]map[string]int{}, map[string]bool{}
		for _, u := range m.units {
			if u.standing != old || !u.is(serving) {
				continue
			}
			if left[u.Generation] == nil {
				left[u.Generation] = map[string]int{}
			}
			if c.stopped[u.Key()] == "" {
				left[u.Generation][u.Role]++
			} else if u.Role == state.RoleDecode {
				decodes[u.Generation] = true
			}
		}
		for g, n := range left {
			if decodes[g] && n[state.RolePrefill] > 0 && n[state.RoleDecode] == 0 {
				out = append(out, fmt.Sprintf("model %s/%s: generation %s keeps %d prefill workers and no decode worker", m.Server, m.Name, g, n[state.RolePrefill]))
			}
		}
	}
	slices.Sort(out)
	return out
}
