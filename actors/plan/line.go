package plan

import (
	"cmp"
	"slices"
	"strings"

	"dynctl/actors"
	"dynctl/state"
)

// line are the models of one plan. The next plan is asked for mostly the same ones, of which
// mostly all rest: what tells so lies here, one after the other in memory, and not with the
// models, which are anywhere.
type line struct {
	seats []seat // by server and name
	next  int    // where the model that is asked for next is expected
}

// seat is a model in a plan.
type seat struct {
	desired *actors.DesiredModel
	model   *model
	of      *server
	// status is what was concluded of a model that rests, the others what that rests on
	// (see rest); nil: it does not rest.
	status *state.Status
	server uint64
	placed uint64
	since  uint64
	at     int // the place of its unit among all; -1: it has several
}

// seated is a model in the plan under way.
func seated(m *model, d *actors.DesiredModel) seat {
	x := seat{desired: d, model: m, of: m.server}
	if m.rest != nil {
		x.status, x.server, x.placed, x.since, x.at = m.rest.status, m.rest.server, m.rest.placed, m.rest.since, -1
		if len(m.rest.places) == 1 {
			x.at = m.rest.places[0]
		}
	}
	return x
}

// expected is the seat of a model if the plan before was asked for the same one in its place;
// nil otherwise.
func (l *line) expected(d *actors.DesiredModel) *seat {
	if l.next < len(l.seats) && l.seats[l.next].desired == d {
		l.next++
		return &l.seats[l.next-1]
	}
	return nil
}

// find is the seat of a model by its name; nil: it has none.
func (l *line) find(of unitsOf) *seat {
	for i := l.next; i < min(l.next+2, len(l.seats)); i++ { // where it mostly is
		if x := &l.seats[i]; x.compare(of) == 0 {
			l.next = i + 1
			return x
		}
	}
	i, found := slices.BinarySearchFunc(l.seats, of, seat.compare)
	if !found {
		return nil
	}
	l.next = i + 1
	return &l.seats[i]
}

func (x seat) compare(of unitsOf) int {
	return cmp.Or(strings.Compare(x.model.Server, of.server), strings.Compare(x.model.Name, of.model))
}

// doubt has all models looked at.
func (l *line) doubt() {
	for i := range l.seats {
		l.seats[i].status = nil
	}
}

// wake has the models of which units have changed looked at.
func (l *line) wake(changed map[unitsOf]bool) {
	for of := range changed {
		if i, found := slices.BinarySearchFunc(l.seats, of, seat.compare); found {
			l.seats[i].placed = 0 // as of no plan
		}
	}
}

// seatModels classifies the models, of which those that rest stay as they are.
func (r *round) seatModels(byName map[string]*server) {
	was := &r.memory.line
	if r.memory.glance.all {
		was.doubt()
	}
	was.wake(r.memory.glance.changed)
	r.seats = slices.Grow(r.memory.spare[:0], len(r.in.Desired.Models))
	r.sorted = true
	var s *server
	var last *actors.DesiredModel
	follows := false // the last one was in the line
	for _, d := range r.in.Desired.Models {
		x := was.expected(d)
		if last != nil && (x == nil || !follows) && last.Compare(d) > 0 {
			r.sorted = false
		}
		last, follows = d, x != nil
		if x != nil && r.stillRests(x) {
			r.sit(*x)
			continue
		}
		if s == nil || s.Name != d.Server {
			s = byName[d.Server]
		}
		if s == nil {
			continue
		}
		m := r.resting(s, d, x)
		if m == nil {
			m = r.newModel(s, d)
		}
		r.sit(seated(m, d))
	}
}

// stillRests reports whether nothing has changed of all that a model rests on, as far as that
// can be told without it.
func (r *round) stillRests(x *seat) bool {
	s := x.of
	return x.status != nil && x.placed == r.memory.glance.placed && s.plan == r.memory.plans && s.calm && x.server == s.since && s.news.isEmpty()
}

// sit gives a model its seat.
func (r *round) sit(x seat) {
	s := x.of
	s.models = append(s.models, x.model)
	r.seats = append(r.seats, x)
	switch {
	case x.status == nil:
		s.awake = append(s.awake, x.model)
		r.take(s.byModel[x.model.Name])
	case x.at >= 0:
		r.ofModel[x.at] = true
	default:
		r.take(x.model.rest.places)
	}
}

// take notes that the units at some places are of a model that is desired.
func (r *round) take(places []int) {
	for _, at := range places {
		r.ofModel[at] = true
	}
}

// rouse finds who does not rest, now that the rules of the servers have been heard.
func (r *round) rouse() {
	if r.disturbed {
		for i := range r.seats {
			if x := &r.seats[i]; x.model.rest == nil {
				x.status = nil
			}
		}
	}
	r.awake = r.wakeful()
	r.memory.spared = len(r.seats) - len(r.awake)
	sort(r.awake, func(a, b *model) int {
		if c := cmp.Compare(b.Spec.Priority, a.Spec.Priority); c != 0 {
			return c
		}
		return a.Compare(b.DesiredModel)
	})
}

// wakeful are the models that do not rest.
func (r *round) wakeful() (out []*model) {
	for i := range r.seats {
		if x := &r.seats[i]; x.status == nil {
			out = append(out, x.model)
		}
	}
	return out
}
