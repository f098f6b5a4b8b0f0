package ops

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"dynctl/events"
)

// timelineSize is how many events the timeline keeps.
const timelineSize = 300

// Timeline holds the last events. Its methods may be called from any goroutine.
type Timeline struct {
	mu sync.Mutex
	// Invariant: rows are at most timelineSize, numbered without gaps up to last.
	rows []row
	last uint64
	kick func()
}

// row is one event as the page shows it. Its number counts from 1 over the life
// of the process: sequences of the stream begin again when it is recreated.
type row struct {
	events.Event
	Number  uint64
	Look    string
	Trouble bool
	// Hidden: the filters of a request leave it out.
	Hidden bool
}

// Add takes the next event.
func (t *Timeline) Add(e events.Event) {
	e.Data.Command, e.Data.Detail = nil, nil // never shown, and large
	t.mu.Lock()
	t.last++
	t.rows = append(t.rows, row{Event: e, Number: t.last, Look: lookOf(eventLooks, e.Type, lookNote), Trouble: isTrouble(e.Type)})
	if over := len(t.rows) - timelineSize; over > 0 {
		t.rows = slices.Delete(t.rows, 0, over)
	}
	kick := t.kick
	t.mu.Unlock()
	if kick != nil {
		kick()
	}
}

// after returns the rows with a higher number, oldest first, and the last number.
func (t *Timeline) after(number uint64) ([]row, uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i, _ := slices.BinarySearchFunc(t.rows, number+1, func(r row, n uint64) int { return cmp.Compare(r.Number, n) })
	return slices.Clone(t.rows[i:]), t.last
}

// Filter selects rows; what is empty selects all.
type Filter struct {
	Type, Model string
	Trouble     bool
}

func (f Filter) hides(r row) bool {
	return f.Type != "" && f.Type != r.Type || f.Model != "" && f.Model != r.Data.Model || f.Trouble && !r.Trouble
}

// timelineView is the timeline as the template shows it, newest first.
type timelineView struct {
	Rows   []row
	Shown  int
	Last   string // the id to follow from
	Filter Filter
	Types  []string
	Models []string
}

func (t *Timeline) view(boot string, f Filter, models []string) timelineView {
	rows, last := t.after(0)
	v := timelineView{Rows: rows, Filter: f, Last: eventID(boot, last)}
	types, named := map[string]bool{}, map[string]bool{}
	if f.Type != "" {
		types[f.Type] = true
	}
	for _, m := range append(models, f.Model) {
		named[m] = true
	}
	slices.Reverse(v.Rows)
	for i := range v.Rows {
		r := &v.Rows[i]
		types[r.Type], named[r.Data.Model] = true, true
		if r.Hidden = f.hides(*r); !r.Hidden {
			v.Shown++
		}
	}
	delete(named, "")
	v.Types, v.Models = slices.Sorted(maps.Keys(types)), slices.Sorted(maps.Keys(named))
	return v
}
