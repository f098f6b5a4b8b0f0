package app

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"dynctl/actors"
	"dynctl/events"
	"dynctl/state"
	"dynctl/state/kv"
)

// slowStore is a journal whose store answers when it is let.
type slowStore struct {
	journal
	asking chan string   // one key for each put that waits
	answer chan struct{} // one for each put that may end
}

func (s *slowStore) putStatuses(ctx context.Context, statuses []state.Status) []kv.Put {
	for _, st := range statuses {
		s.asking <- st.Key
		<-s.answer
	}
	return s.journal.putStatuses(ctx, statuses)
}

// commands are the units of those that were sent.
type commands struct {
	*slowStore
	units []string
}

func (c *commands) commands(_ context.Context, all []events.Event) []error {
	for _, e := range all {
		c.units = append(c.units, e.Object)
	}
	return make([]error, len(all))
}

func (c *commands) take() []string {
	out := c.units
	c.units = nil
	return out
}

func slowLoop(t *testing.T) (*loop, kv.Term, *commands) {
	t.Helper()
	l, term, _ := actingLoop(t)
	c := &commands{slowStore: &slowStore{asking: make(chan string, 64), answer: make(chan struct{}, 64)}}
	l.effects = c
	return l, term, c
}

func statusOf(model string) state.Status {
	return state.Status{Key: "model.default." + model, Kind: state.KindModel, Server: "default", Name: model}
}

func plannedStatuses(models ...string) (out []*state.Status) {
	for _, name := range models {
		out = append(out, new(statusOf(name)))
	}
	return out
}

// While a status is on its way rounds go on. What they conclude of its object is neither
// written nor commanded before it is stored; what they conclude of others is.
func TestAStatusOnItsWayHoldsUpItsObjectAlone(t *testing.T) {
	l, term, c := slowLoop(t)
	in, plan := aPlan()
	plan.Revokes, plan.Stops, plan.Starts = nil, nil, plan.Starts[1:] // of model m
	other := plan.Starts[0]
	other.Template.Unit, other.Template.Model = "1a2b3c4d_n_DP0", "n"
	plan.Statuses = plannedStatuses("m")
	carryOut(t, l, term, in, plan, nil)
	if got := c.take(); !slices.Equal(got, []string{"1a2b3c4d_m_DP1"}) {
		t.Errorf("sent %v before the status of its model is on its way", got)
	}
	<-c.asking

	next := plan
	next.Starts = []actors.Start{plan.Starts[0], other}
	next.Starts[0].Attempts = map[string]actors.Attempt{"a": {Number: 2}} // another command than before
	next.Statuses = plannedStatuses("m", "n")
	next.Statuses[0].Generation, next.Gone = "0badcafe", []state.Key{state.ModelKey("default", "m")}
	carryOut(t, l, term, in, next, nil)
	if got := c.take(); !slices.Equal(got, []string{"1a2b3c4d_n_DP0"}) {
		t.Errorf("sent %v while the status of m is on its way", got)
	}
	if key := <-c.asking; key != "model.default.n" || len(c.asking) > 0 {
		t.Errorf("%s is written, and %d more", key, len(c.asking))
	}
	carryOut(t, l, term, in, actors.Result{Starts: []actors.Start{other}}, nil)
	if len(l.kick) != 0 {
		t.Error("a round is asked for before anything is stored")
	}
	c.answer <- struct{}{}
	c.answer <- struct{}{}
	l.awaitStatuses(0)
	if len(l.kick) != 1 || l.written["model.default.m"].Revision == 0 {
		t.Errorf("stored: %d rounds are asked for, written: %v", len(l.kick), l.written)
	}
	if asked := c.journal.take(); slices.ContainsFunc(asked, func(s string) bool { return strings.HasPrefix(s, "delete") }) {
		t.Errorf("deleted while it was on its way: %v", asked)
	}
	next.Statuses = nil
	carryOut(t, l, term, in, next, nil)
	if got := c.take(); !slices.Equal(got, []string{"1a2b3c4d_m_DP1"}) {
		t.Errorf("sent %v once the status of m is stored", got)
	}
}

// What of a status is for people alone holds up no command of its object while it is on its
// way; what a command may rest on does.
func TestAStatusThatOnlyTellsHoldsUpNoCommand(t *testing.T) {
	stored := statusOf("m")
	stored.AcceptedRevision, stored.Generation = 6, "1a2b3c4d"
	stored.Conditions = []state.Condition{{Type: state.CondReady, Status: state.StatusTrue}, {Type: state.CondUpToDate, Status: state.StatusTrue, Reason: actors.CondOK}}
	stored.Placements = []state.PlacementStatus{{Unit: "1a2b3c4d_m_DP0", Generation: "1a2b3c4d", State: "Ready"}}
	for name, tc := range map[string]struct {
		change func(*state.Status)
		holds  bool
	}{
		"a condition holds no longer":   {change: func(s *state.Status) { s.Conditions[0].Status = state.StatusFalse }},
		"the message of a condition":    {change: func(s *state.Status) { s.Conditions[1].Message = "well" }},
		"where a worker is in its life": {change: func(s *state.Status) { s.Placements[0].State = "Exited" }},
		"how many run":                  {change: func(s *state.Status) { s.Roles = map[string]state.RoleStatus{"aggregated": {Restarts: 1}} }},
		"the accepted revision":         {func(s *state.Status) { s.AcceptedRevision++ }, true},
		"the generation":                {func(s *state.Status) { s.Generation = "0badcafe" }, true},
		"a deletion that is held":       {func(s *state.Status) { s.DeletionBlocked = 7 }, true},
		"a worker of a generation":      {func(s *state.Status) { s.Placements[0].Generation = "0badcafe" }, true},
		"a roll that was given up":      {func(s *state.Status) { s.Conditions[1].Reason = actors.CondRolledBack }, true},
		"a condition that comes true": {func(s *state.Status) {
			s.Conditions = append(s.Conditions, state.Condition{Type: state.CondRegistered, Status: state.StatusTrue})
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			l, term, c := slowLoop(t)
			in, plan := aPlan()
			plan.Revokes, plan.Stops, plan.Starts = nil, nil, plan.Starts[1:] // of model m
			now := stored
			now.Conditions, now.Placements = slices.Clone(stored.Conditions), slices.Clone(stored.Placements)
			tc.change(&now)
			l.inForce.all = map[state.Key]state.Status{state.ModelKey("default", "m"): stored}
			carryOut(t, l, term, in, actors.Result{Statuses: []*state.Status{&now}}, nil)
			<-c.asking
			carryOut(t, l, term, in, plan, nil)
			if got := len(c.take()) == 0; got != tc.holds {
				t.Errorf("the command of its model waits: %v, want %v", got, tc.holds)
			}
			if asks := l.writes.under["model.default.m"].more; asks != tc.holds {
				t.Errorf("a round follows: %v, want %v", asks, tc.holds)
			}
			c.answer <- struct{}{}
			l.awaitStatuses(0)
		})
	}
}

// The status of a server holds up the commands of its models too.
func TestAServerStatusOnItsWayHoldsUpItsModels(t *testing.T) {
	l, term, c := slowLoop(t)
	in, plan := aPlan()
	server := state.Status{Key: "server.default", Kind: state.KindServer, Server: "default"}
	carryOut(t, l, term, in, actors.Result{Statuses: []*state.Status{&server}}, nil)
	<-c.asking
	plan.Revokes = nil
	carryOut(t, l, term, in, plan, nil)
	if got := c.take(); len(got) > 0 {
		t.Errorf("sent %v", got)
	}
	c.answer <- struct{}{}
	l.awaitStatuses(0)
	carryOut(t, l, term, in, plan, nil)
	if got := c.take(); len(got) != 3 {
		t.Errorf("sent %v once the status of the server is stored, want all three", got)
	}
}

// planned are the statuses of that many models.
func planned(n int) []*state.Status {
	var names []string
	for i := range n {
		names = append(names, modelName(i))
	}
	return plannedStatuses(names...)
}

// A round waits for the store where several statuses are on their way, and what was written in
// an earlier term is nobody's.
func TestManyStatusesAreWaitedFor(t *testing.T) {
	l, term, c := slowLoop(t)
	const n = kv.BatchLeast - 1
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		carryOut(t, l, term, actors.Input{}, actors.Result{Statuses: planned(n)}, nil)
	}()
	for range statusWriters { // a few are written by one each
		<-c.asking
	}
	select {
	case <-ended:
		t.Fatal("the round has ended before any status was stored")
	default:
	}
	for range n - statusWriters {
		c.answer <- struct{}{}
	}
	<-ended
	if left := len(l.writes.under); left != statusWriters || len(l.written) != n-statusWriters {
		t.Errorf("%d on their way, %d written", left, len(l.written))
	}
	l.forget()
	c.journal.mu.Lock()
	c.journal.err = errors.New("the store is away")
	c.journal.mu.Unlock()
	for range statusWriters {
		c.answer <- struct{}{}
	}
	l.writes.wg.Wait()
	l.noteStatuses()
	if len(l.written) > 0 || len(l.refused) > 0 || len(l.writes.under) > 0 {
		t.Errorf("of an earlier term: %d written, %d refused", len(l.written), len(l.refused))
	}
}

// Many statuses are few writes, and those that commands rest on are in the first of them.
func TestManyStatusesAreFewWrites(t *testing.T) {
	var statuses []state.Status
	inForce := map[state.Key]state.Status{}
	const n, records = 2 * kv.BatchMost, 3
	for i, s := range planned(n + records) {
		inForce[state.ModelKey("default", s.Name)] = *s
		if i >= n {
			s.Generation = "0badcafe"
		}
		statuses = append(statuses, *s)
	}
	w := newWrites()
	lots := make(chan []state.Status, n)
	w.begin(time.Now(), statuses, inForce, func(lot []state.Status) []kv.Put {
		lots <- lot
		return make([]kv.Put, len(lot))
	})
	w.wg.Wait()
	close(lots)
	var firsts, sizes []int
	for lot := range lots {
		first := 0
		for _, s := range lot {
			first += len(s.Generation) / len("0badcafe")
		}
		firsts, sizes = append(firsts, first), append(sizes, len(lot))
	}
	slices.Sort(sizes)
	if !slices.Equal(sizes, []int{records, kv.BatchMost, kv.BatchMost}) || slices.Max(firsts) != records {
		t.Errorf("lots of %v, with %v that commands rest on", sizes, firsts)
	}
	if got := w.take(); len(got) != len(statuses) || len(w.under) > 0 {
		t.Errorf("%d have landed", len(got))
	}
}
