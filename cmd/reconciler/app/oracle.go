package app

import (
	"reflect"
	"time"

	"dynctl/actors"
	"dynctl/actors/accept"
	"dynctl/actors/plan"
	"dynctl/state"
)

const (
	// compareEvery is how often a round is made a second time without anything remembered.
	compareEvery = 10 * time.Minute
	// youngMemory is how old at most what is remembered may be to be taken into a new term.
	youngMemory = 10 * time.Second
)

// oracle makes rounds with what is remembered of the rounds before, and has them prove from
// time to time that they conclude what a round without any memory does. One that does not is
// told, the other one counts, and for the rest of the term nothing is remembered: a wrong stop
// costs hours, a slow round milliseconds. Each term begins with a round without any memory.
type oracle struct {
	app *App
	// memo spares decoding what the statuses keep and accepting what rests, planner
	// planning for it.
	memo    accept.Memo
	planner plan.Memory

	whole      time.Time // when a round was made last that rested on nothing remembered; zero: none was
	comparing  bool      // in this round
	distrusted bool
}

// begin is called before each round. The first one has nothing to be compared: it is a whole
// one itself.
func (o *oracle) begin(now time.Time) {
	first := o.whole.IsZero()
	o.comparing = !o.distrusted && !first && now.Sub(o.whole) >= compareEvery
	if o.comparing || first {
		o.whole = now
	}
	if o.distrusted {
		o.memo, o.planner = accept.Memo{}, plan.Memory{}
	}
}

// newTerm forgets what is remembered, unless that is new itself: its first round is a whole one,
// or follows one that was made a moment ago, as in a reconciler that starts and leads.
func (o *oracle) newTerm(now time.Time) {
	if o.distrusted || now.Sub(o.whole) >= youngMemory {
		*o = oracle{app: o.app}
	}
}

func (o *oracle) accept(in accept.Input) (actors.Desired, map[state.Key]accept.Kept) {
	in.Memo = &o.memo
	got, gotKept := accept.Revisions(in)
	if !o.comparing {
		return got, gotKept
	}
	in.Memo = nil
	whole, wholeKept := accept.Revisions(in)
	if !reflect.DeepEqual(whole, got) || !reflect.DeepEqual(wholeKept, gotKept) {
		o.distrust("what is accepted")
		return whole, wholeKept
	}
	return got, gotKept // at the places in memory that the planner knows
}

func (o *oracle) plan(in actors.Input) actors.Result {
	got := o.planner.Plan(in)
	if !o.comparing {
		return got
	}
	whole := plan.Plan(in)
	if !reflect.DeepEqual(whole, got) {
		o.distrust("the plan")
		return whole
	}
	return got // whose statuses are at the places in memory that others know
}

func (o *oracle) distrust(what string) {
	o.distrusted = true
	o.app.log.Error("what is remembered from round to round led to another answer than the whole state does; the whole state counts, and nothing is "+
		"remembered until the next term. What runs goes on, and rounds take longer; report this line", "differs", what)
}
