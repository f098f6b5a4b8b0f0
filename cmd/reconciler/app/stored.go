package app

import (
	"reflect"
	"slices"
	"strings"

	"dynctl/state"
	"dynctl/state/kv"
)

// stored are the statuses that are in force: those of the view with what this process wrote
// since. They are the loop's own from round to round and nobody else's after a round, so
// that only what the view shows at another place in memory is put into them anew.
type stored struct {
	all     map[state.Key]state.Status
	view    []kv.Stored
	written map[state.Key]bool // what is in all from l.written
	// changed are the objects of which the status may be another than in the round before;
	// nil: those of any.
	changed map[state.Key]bool
}

// stored is what is stored of every object now.
func (l *loop) stored() (statuses map[state.Key]state.Status, loaded bool) {
	view, loaded := l.app.views.Statuses()
	l.inForce.follow(view)
	if l.oracle.comparing || l.oracle.distrusted { // and changed is nil
		var whole stored
		if whole.follow(view); !l.oracle.distrusted && !reflect.DeepEqual(whole.all, l.inForce.all) {
			l.oracle.distrust("what is stored")
		}
		l.inForce = whole
	}
	l.rewrite = map[string]bool{}
	for _, s := range view {
		if s.Rewrite {
			l.rewrite[s.Key] = true
		}
	}
	l.overlay()
	return l.inForce.all, loaded
}

// follow brings what is stored to what a view shows, without what was written over it.
func (s *stored) follow(view []kv.Stored) {
	if s.changed = map[state.Key]bool{}; s.all == nil {
		s.all, s.changed = make(map[state.Key]state.Status, len(view)), nil
	}
	for key := range s.written {
		s.change(key)
		delete(s.all, key)
		if i, found := find(s.view, key.String()); found {
			s.all[key] = *s.view[i].Status
		}
	}
	s.written = nil
	was, now := s.view, view
	for len(was) > 0 || len(now) > 0 {
		switch {
		case len(was) > 0 && len(now) > 0 && was[0] == now[0]:
			was, now = was[1:], now[1:]
		case len(now) == 0 || len(was) > 0 && was[0].Key < now[0].Key:
			s.change(was[0].Object)
			delete(s.all, was[0].Object)
			was = was[1:]
		default:
			if now[0].Object.Kind != "" {
				s.change(now[0].Object)
				s.all[now[0].Object] = *now[0].Status
			}
			if len(was) > 0 && was[0].Key == now[0].Key {
				was = was[1:]
			}
			now = now[1:]
		}
	}
	s.view = view
}

// differsOnlyBy reports whether a view is another than the one before, and all of it that is
// another or has come is of a kind.
func (s *stored) differsOnlyBy(view []kv.Stored, kind func(kv.Stored) bool) bool {
	was, now, found := s.view, view, false
	for len(was) > 0 || len(now) > 0 {
		switch {
		case len(was) > 0 && len(now) > 0 && was[0] == now[0]:
			was, now = was[1:], now[1:]
		case len(now) == 0 || len(was) > 0 && was[0].Key < now[0].Key:
			return false // one is gone
		case !kind(now[0]):
			return false
		default:
			if found = true; len(was) > 0 && was[0].Key == now[0].Key {
				was = was[1:]
			}
			now = now[1:]
		}
	}
	return found
}

// change notes that the status of an object may be another.
func (s *stored) change(key state.Key) {
	if s.changed != nil {
		s.changed[key] = true
	}
}

func find(view []kv.Stored, key string) (int, bool) {
	return slices.BinarySearchFunc(view, key, func(s kv.Stored, key string) int { return strings.Compare(s.Key, key) })
}

// overlay puts what was written and has not come back over what is stored, and forgets what
// has.
func (l *loop) overlay() {
	for name, w := range l.written {
		if i, found := find(l.inForce.view, name); found && w.Revision <= l.inForce.view[i].Status.Revision {
			delete(l.written, name)
			continue
		}
		delete(l.rewrite, name)
		key, err := state.ParseKey(name)
		if err != nil {
			continue
		}
		if l.inForce.written == nil {
			l.inForce.written = map[state.Key]bool{}
		}
		l.inForce.change(key)
		l.inForce.all[key], l.inForce.written[key] = w, true
	}
}
