package actors

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"dynctl/state"
)

// Plan compares what is wanted with what is, and says what to do. It is a pure
// function: the same input gives the same result, whatever the order of its
// lists, and the input is left untouched.
//
// Invariants: no stop, sweep or revoke while either side is not fully known; no
// unit is started and stopped in one result; no more GPUs are promised than are
// free; a unit that serves is stopped only when the budget of its model allows.
func Plan(in Input) Result {
	p := newPlanner(in)
	if !in.Desired.Synced {
		return p.result()
	}
	p.planModels()
	if p.acting {
		p.planOrphans()
		p.planRevokes()
		p.planRetiring()
		p.planGates()
	}
	p.planStatuses()
	return p.result()
}

// planner is the working copy of one round.
type planner struct {
	in Input
	// acting says that the observed side is known and the agent hears: without it
	// statuses are the only output.
	acting  bool
	servers []*serverView
	models  []*modelView // by priority, then server and name
	room    *room
	// before is the room at the beginning of the round.
	before []NodeRoom
	// dynamo lists the releases on the nodes.
	dynamo []nodeDynamo
	// strangers hold GPU memory beside our units.
	strangers []Stranger
	// claims are what found no room so far.
	claims []claim
	// asked are the units that this round asks a group for.
	asked map[state.UnitKey]bool
	out   Result
	// claimed says of each lease how many processes have told that it is theirs.
	claimed map[int64]int
	// handled are the units that some rule has spoken for.
	handled map[state.UnitKey]bool
}

// serverView is one server with everything that is known of it.
type serverView struct {
	DesiredServer
	units    []state.Unit // ours, without infra
	infra    *state.Unit
	foreign  []state.Unit
	models   []*modelView
	regs     state.Registrations
	frontend state.FrontendView
	// blocked is why no unit of the server may be started; empty: none.
	blocked, blockedMessage string
	// recreating: etcd or NATS move, so every unit goes first.
	recreating bool
	// held is how many deleted models the mass-deletion guard keeps; 0: it is down.
	held        int
	heldMessage string
}

// modelView is one model with its units.
type modelView struct {
	DesiredModel
	server *serverView
	roles  []*roleView
	// stray are units of old generations whose role the wanted template lacks.
	stray []unitView
	waits []Wait
	// gone: deleted, and the hold is over.
	gone bool
	// held: deleted, and still held.
	held bool
	// fellBack: the previous generation is run because its replacement cannot start.
	fellBack bool
	// giveUp: the replacement cannot start and the previous generation is to come back.
	giveUp   bool
	stalled  string
	template ModelTemplate
}

// roleView is one role of a model.
type roleView struct {
	RoleTemplate
	desired    int
	fresh, old []unitView
	// homeless is why a unit of it that has lost its group finds no other; nil: none has.
	homeless *Unfit
	// refused: Ray did not place a unit of it in time, and there is no room for it now.
	refused bool
}

// unitView is a unit with what was concluded of it.
type unitView struct {
	state.Unit
	// running: every process is healthy. registered: its instance (and card) stands
	// in Dynamo's etcd. listed: the frontend names its generation with all types.
	running, registered, listed bool
	stopping                    bool
}

// serving says that requests may reach the unit.
func (u unitView) serving() bool { return u.registered && u.running && !u.stopping }

// ready says that the unit counts for a roll.
func (u unitView) ready() bool { return u.serving() && u.listed }

// everReady says that some attempt of the unit has been healthy.
func (u unitView) everReady() bool {
	for _, a := range u.Actors {
		if !a.ReadyAt.IsZero() || a.Exit != nil && a.Exit.ReadyFor > 0 {
			return true
		}
	}
	return false
}

func newPlanner(in Input) *planner {
	p := &planner{in: in, handled: map[state.UnitKey]bool{}, asked: map[state.UnitKey]bool{}}
	p.acting = in.Desired.Synced && in.Observed.Synced && !agentLost(in)
	p.room = newRoom(in.Observed.Nodes, in.Observed.Units)
	p.before = p.room.nodes
	p.dynamo = dynamoOn(in.Observed.Nodes)
	p.strangers = Strangers(in.Observed.Nodes, in.Observed.Units)
	byName := map[string]*serverView{}
	for _, d := range in.Desired.Servers {
		s := &serverView{DesiredServer: d, regs: in.Registered[d.Name], frontend: in.Frontends[d.Name]}
		byName[d.Name] = s
		p.servers = append(p.servers, s)
	}
	slices.SortFunc(p.servers, func(a, b *serverView) int { return cmp.Compare(a.Name, b.Name) })
	for _, u := range sortedUnits(in.Observed.Units) {
		s := byName[u.Server]
		switch {
		case s == nil: // an orphan
		case u.StoreID != in.Policy.StoreID:
			s.foreign = append(s.foreign, u)
		case u.Unit == InfraUnit:
			s.infra = &u
		default:
			s.units = append(s.units, u)
		}
	}
	for _, d := range in.Desired.Models {
		if s := byName[d.Server]; s != nil {
			p.addModel(s, d)
		}
	}
	slices.SortFunc(p.models, func(a, b *modelView) int {
		return cmp.Or(cmp.Compare(b.Spec.Priority, a.Spec.Priority), cmp.Compare(a.Server, b.Server), cmp.Compare(a.Name, b.Name))
	})
	return p
}

func sortedUnits(units []state.Unit) []state.Unit {
	out := slices.Clone(units)
	slices.SortFunc(out, func(a, b state.Unit) int {
		return cmp.Or(cmp.Compare(a.Server, b.Server), cmp.Compare(a.Unit, b.Unit))
	})
	return out
}

// agentLost says that the agent has been silent for too long to be believed.
func agentLost(in Input) bool {
	return in.Observed.Agent == nil || in.Now.Sub(in.Observed.Agent.At) > in.Policy.AgentTimeout
}

// result sorts what was collected.
func (p *planner) result() Result {
	r := &p.out
	slices.SortFunc(r.Starts, func(a, b Start) int {
		return cmp.Or(cmp.Compare(a.Template.Server, b.Template.Server), cmp.Compare(startRank(a), startRank(b)),
			cmp.Compare(a.Template.Model, b.Template.Model), cmp.Compare(a.Template.Role, b.Template.Role),
			cmp.Compare(a.Template.Replica, b.Template.Replica), cmp.Compare(a.Template.Unit, b.Template.Unit))
	})
	slices.SortFunc(r.Stops, func(a, b Stop) int { return compareKeys(a.Key, b.Key) })
	slices.SortFunc(r.Sweeps, func(a, b Sweep) int { return compareKeys(a.Key, b.Key) })
	slices.SortFunc(r.Orphans, func(a, b Orphan) int { return compareKeys(a.Key, b.Key) })
	slices.SortFunc(r.Waits, func(a, b Wait) int {
		return cmp.Or(compareKeys(a.Key, b.Key), cmp.Compare(a.Model, b.Model), cmp.Compare(a.Reason, b.Reason))
	})
	slices.SortFunc(r.Revokes, func(a, b Revoke) int {
		return cmp.Or(compareKeys(a.Key, b.Key), cmp.Compare(a.Lease, b.Lease))
	})
	if len(r.Suspects) == 0 {
		r.Suspects = nil
	}
	return *r
}

func compareKeys(a, b state.UnitKey) int {
	return cmp.Or(cmp.Compare(a.Server, b.Server), cmp.Compare(a.Unit, b.Unit))
}

// startRank puts infra first: everything needs it.
func startRank(s Start) int {
	if s.Template.Unit == InfraUnit {
		return 0
	}
	return 1
}

// checkAt asks for a round at t at the latest.
func (p *planner) checkAt(t time.Time) {
	if t.IsZero() || !t.After(p.in.Now) {
		return
	}
	if p.out.NextCheck.IsZero() || t.Before(p.out.NextCheck) {
		p.out.NextCheck = t
	}
}

// start emits a start, and takes the room that a new unit needs.
func (p *planner) start(s Start) {
	if !p.acting {
		return
	}
	key := state.UnitKey{Server: s.Template.Server, Unit: s.Template.Unit}
	if p.ending(key) || p.hidden(key) {
		return
	}
	p.handled[key] = true
	if s.Seen == 0 {
		s.Seen = p.in.Observed.Gone[key]
	}
	s.Attempts = maps.Clone(s.Attempts)
	p.out.Starts = append(p.out.Starts, s)
}

// hidden reports whether a unit is reported in a way that cannot be read: it exists,
// and what it does is not known until it is reported again.
func (p *planner) hidden(k state.UnitKey) bool { return slices.Contains(p.in.Observed.Unreadable, k) }

// hiddenOf reports whether some unit of a model is hidden. Its name alone is known.
func (p *planner) hiddenOf(m *modelView) bool {
	slug := state.Slug(m.Spec.ServedName)
	return slices.ContainsFunc(p.in.Observed.Unreadable, func(k state.UnitKey) bool {
		generation, label, ok := strings.Cut(k.Unit, "_")
		return ok && k.Server == m.Server && generationSuffix.MatchString(generation) && strings.HasPrefix(label, slug+"_")
	})
}

// hiddenIn reports whether some unit of a server is hidden.
func (p *planner) hiddenIn(server string) bool {
	return slices.ContainsFunc(p.in.Observed.Unreadable, func(k state.UnitKey) bool { return k.Server == server })
}

// ending says that this round stops the unit already.
func (p *planner) ending(k state.UnitKey) bool {
	return slices.ContainsFunc(p.out.Stops, func(s Stop) bool { return s.Key == k })
}

// stop emits a stop unless the unit is being stopped, which every agent goes on with
// that finds it so. It takes back what an
// earlier rule asked of the unit: what is to end is not healed first.
func (p *planner) stop(u state.Unit, s Stop) {
	p.handled[u.Key()] = true
	if !p.acting || u.State == state.UnitStopping || p.ending(u.Key()) {
		return
	}
	p.out.Starts = slices.DeleteFunc(p.out.Starts, func(x Start) bool {
		return x.Template.Server == u.Server && x.Template.Unit == u.Unit
	})
	s.Key, s.Model, s.Generation, s.Seen = u.Key(), u.Model, u.Generation, u.Revision
	p.out.Stops = append(p.out.Stops, s)
}
