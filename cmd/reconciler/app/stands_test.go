package app

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"dynctl/actors/accept"
	"dynctl/state"
	"dynctl/state/kv"
)

// specsAndStatuses change at random.
type specsAndStatuses struct {
	*rand.Rand
	created  time.Time
	revision uint64
	entries  map[state.Key]*kv.SpecEntry
	statuses map[state.Key]state.Status
	restated map[state.Key]bool
}

func (s *specsAndStatuses) change() {
	s.revision++
	name := fmt.Sprintf("m%02d", s.IntN(12))
	key := state.ModelKey("default", name)
	e := &kv.SpecEntry{Key: key.String(), Revision: s.revision}
	switch s.IntN(7) {
	case 0:
		delete(s.entries, key)
	case 1:
		e.Deleted = true
		s.entries[key] = e
	case 2:
		delete(s.statuses, key)
		s.restated[key] = true
	case 3, 4: // what stands there is accepted, or what stood there before
		accepted := uint64(0)
		if stands := s.entries[key]; stands != nil {
			accepted = stands.Revision - min(stands.Revision, uint64(s.IntN(4)/3))
		}
		s.statuses[key] = state.Status{AcceptedRevision: accepted, AcceptedIn: s.created, Template: []byte("{}"), AcceptedSpec: fmt.Appendf(nil, `{"as":%d}`, s.revision)}
		s.restated[key] = true
	default:
		e.Value = fmt.Appendf(nil, "{apiVersion: dynctl/v1alpha1, kind: Model, metadata: {name: %s}, spec: {model: a/%[1]s}}", name)
		e.Size = len(e.Value)
		s.entries[key] = e
	}
}

func (s *specsAndStatuses) snapshot() kv.SpecSnapshot {
	entries := slices.SortedFunc(maps.Values(s.entries), func(a, b *kv.SpecEntry) int {
		x, _ := a.Object()
		y, _ := b.Object()
		return x.Compare(y)
	})
	return kv.SpecSnapshot{Entries: entries, Created: s.created}
}

// told is what of documents is compared: the text of one, and not how it was decoded.
func told(entries []*accept.Entry) (out []string) {
	for _, e := range entries {
		out = append(out, fmt.Sprint(e.Key, e.Revision, e.Deleted, e.Missing, e.At, string(e.Doc.Raw), e.Err))
	}
	slices.Sort(out)
	return out
}

// Whatever changes from round to round, what is read with what is remembered is what is read
// without, and nothing is read again where nothing has changed.
func TestWhatStandsIsReadAsItIs(t *testing.T) {
	e := newEchoes(t)
	for seed := range uint64(40) {
		e.app.cfg.Limits = kv.Limits{Objects: 5 + int(seed%10), CurrentBytes: 400 << (seed % 4)}.WithDefaults() // some of which bind
		s := &specsAndStatuses{Rand: rand.New(rand.NewPCG(seed, 4)), created: time.Unix(int64(seed), 0),
			entries: map[state.Key]*kv.SpecEntry{}, statuses: map[state.Key]state.Status{}}
		l, snapshot := newLoop(e.app), kv.SpecSnapshot{}
		for step := range 150 {
			s.restated = map[state.Key]bool{}
			if n := s.IntN(4); n > 0 || step == 0 {
				for range n {
					s.change()
				}
				snapshot = s.snapshot()
			}
			if l.inForce.changed = s.restated; s.IntN(20) == 0 {
				l.inForce.changed = nil
			}
			late := time.Now().Add(time.Hour)
			got, complete := l.documents(snapshot, s.statuses, nil, late)
			want, whole := newLoop(e.app).documents(snapshot, s.statuses, nil, late)
			if !slices.Equal(told(got), told(want)) || complete != whole {
				t.Fatalf("seed %d, step %d: got %q, %v; want %q, %v", seed, step, told(got), complete, told(want), whole)
			}
			l.inForce.changed = map[state.Key]bool{}
			if again, _ := l.documents(snapshot, s.statuses, nil, late); l.stands.read != nil && len(got) > 0 && &again[0] != &l.stands.read[0] {
				t.Fatalf("seed %d, step %d: what stands is read again", seed, step)
			}
		}
	}
}
