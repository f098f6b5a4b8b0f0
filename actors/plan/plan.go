package plan

import (
	"slices"
	"strings"
	"time"

	"dynctl/actors"
	"dynctl/actors/place"
	"dynctl/actors/render"
	"dynctl/state"
)

// Plan compares what is wanted with what is, and says what to do. It is a pure
// function: the same input gives the same result, whatever the order of its lists, and
// the input is left untouched.
//
// [Check] states the invariants of its result.
func Plan(in actors.Input) actors.Result { return (&Memory{}).Plan(in) }

// Plan is [Plan] with what is remembered of the plans before, and the same result.
func (mem *Memory) Plan(in actors.Input) actors.Result {
	r := newRound(in, mem)
	if !in.Desired.Synced {
		mem.awake = in.Desired.Models
		return r.emit()
	}
	r.begin()
	r.classify()
	for _, s := range r.servers {
		r.judgeDeletions(s)
	}
	// Whether a server is wanted rests on what is deleted, and a model needs its infra.
	for _, s := range r.servers {
		r.planServer(s)
		r.disturb(s)
	}
	r.rouse()
	for _, m := range r.awake {
		r.planModel(m)
	}
	if r.acting {
		r.planOrphans()
		r.planRevokes()
		r.planGates()
		r.planWarm()
	}
	r.planStatuses()
	r.remember()
	return r.emit()
}

// round is one making of a plan: what is known, and what was granted so far.
type round struct {
	in     actors.Input
	memory *Memory
	// acting: the observed side is known and the agent hears. Without it statuses are the
	// only output.
	acting    bool
	units     []*state.Unit // all that are observed, by server and id
	rising    bool          // no key is twice among them
	servers   []*server     // by name
	seats     []seat        // of all models, as they were desired
	sorted    bool          // which is by server and name
	disturbed bool          // the rules of some server have ended the rest of its models
	awake     []*model      // those that do not rest, by priority, then server and name
	ledger    *ledger
	releases  render.Releases
	strangers []place.Stranger
	owners    map[int64]int   // of each lease: how many processes have told that it is theirs
	untold    map[string]bool // see [round.untoldGenerations]; nil: not asked yet
	// granted are the starts and stops of this round, spoken the units that some rule has
	// spoken for; ofModel are, by their places, those of models that are desired.
	starts  map[state.UnitKey]*actors.Start
	stops   map[state.UnitKey]*stop
	order   []state.UnitKey               // of the starts
	asked   map[state.UnitKey]place.Shape // of those in a new group
	spoken  map[state.UnitKey]bool
	ofModel []bool
	made    made
	out     actors.Result
}

// stop is a granted leave. One that is put off is asked for again in a later round; what
// is to end is not healed meanwhile.
type stop struct {
	actors.End
	putOff bool
}

func newRound(in actors.Input, mem *Memory) *round {
	r := &round{in: in, memory: mem, starts: map[state.UnitKey]*actors.Start{}, stops: map[state.UnitKey]*stop{},
		asked: map[state.UnitKey]place.Shape{}, spoken: map[state.UnitKey]bool{}}
	r.acting = in.Desired.Synced && in.Observed.Synced && !agentLost(in)
	r.units, r.rising = mem.glance.sorted(in.Observed.Units)
	r.ofModel = make([]bool, len(r.units))
	r.ledger = newLedger(in.Observed.Nodes, r.units, &mem.glance.held)
	r.releases = mem.releasesOn(in.Observed.Nodes)
	r.strangers = place.Strangers(in.Observed.Nodes, in.Observed.Units)
	return r
}

// agentLost reports whether the agent has been silent for too long to be believed.
func agentLost(in actors.Input) bool {
	return in.Observed.Agent == nil || in.Observed.Agent.Silence(in.Now) > in.Policy.AgentTimeout
}

// checkAt asks for a round at t at the latest.
func (r *round) checkAt(t time.Time) {
	if t.IsZero() || !t.After(r.in.Now) {
		return
	}
	if r.out.NextCheck.IsZero() || t.Before(r.out.NextCheck) {
		r.out.NextCheck = t
	}
}

// start grants a start. What exists and cannot be read is left alone.
func (r *round) start(s actors.Start) {
	key := state.UnitKey{Server: s.Template.Server, Unit: s.Template.Unit}
	if !r.acting || r.stops[key] != nil || r.isHidden(key) {
		return
	}
	r.spoken[key] = true
	if s.Seen == 0 {
		s.Seen = r.in.Observed.Gone[key]
	}
	r.starts[key] = &s
	r.order = append(r.order, key)
}

// starting reports whether this round starts the unit, or restarts what is in it.
func (r *round) starting(k state.UnitKey) bool { return r.starts[k] != nil && r.stops[k] == nil }

// ending reports whether this round stops the unit.
func (r *round) ending(k state.UnitKey) bool { return r.stops[k] != nil && !r.stops[k].putOff }

// stop grants a leave, unless the unit is being stopped: every agent goes on with that
// which finds it so.
func (r *round) stop(u *state.Unit, s actors.End) {
	key := u.Key()
	r.spoken[key] = true
	if !r.acting || u.State == state.UnitStopping || r.stops[key] != nil {
		return
	}
	s.Key, s.Model, s.Generation, s.Seen = key, u.Model, u.Generation, u.Revision
	r.stops[key] = &stop{End: s}
}

// isHidden reports whether a unit is reported in a way that cannot be read: it exists, and
// what it does is not known until it is reported again.
func (r *round) isHidden(k state.UnitKey) bool { return slices.Contains(r.in.Observed.Unreadable, k) }

// hiddenOf reports whether some unit of a model is hidden. Its name alone is known.
func (r *round) hiddenOf(m *model) bool {
	if len(r.in.Observed.Unreadable) == 0 {
		return false
	}
	slug := state.Slug(m.Spec.ServedName)
	return slices.ContainsFunc(r.in.Observed.Unreadable, func(k state.UnitKey) bool {
		generation, label, ok := strings.Cut(k.Unit, "_")
		return ok && k.Server == m.Server && generationForm.MatchString(generation) && strings.HasPrefix(label, slug+"_")
	})
}

// hiddenIn reports whether some unit of a server is hidden.
func (r *round) hiddenIn(server string) bool {
	return slices.ContainsFunc(r.in.Observed.Unreadable, func(k state.UnitKey) bool { return k.Server == server })
}
