package kv

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"dynctl/state"
)

// shuffle writes at random into a mirror and calls look after some of the writes.
func shuffle[T any](seed uint64, m *mirror[T], write func(*rand.Rand) item[T], look func()) {
	random := rand.New(rand.NewPCG(seed, 7))
	m.items = map[string]item[T]{}
	for i := range uint64(400) {
		it := write(random)
		it.rev, it.at = i+1, time.Unix(int64(i), 0)
		m.mu.Lock()
		if random.IntN(100) == 0 {
			m.changed() // as after a load
		}
		m.replace(m.settle(m.items, it))
		m.mu.Unlock()
		if random.IntN(3) > 0 {
			look()
		}
	}
}

// A view that is patched shows what one does that is made from all items, and leaves alone
// what was handed out before.
func TestPatchedViewsShowTheWhole(t *testing.T) {
	views := func() *Views { return &Views{charge: &charge{}} }
	same := func(t *testing.T, what string, want, got any) {
		t.Helper()
		if reflect.DeepEqual(want, got) {
			return
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmp.AllowUnexported(SpecEntry{})); diff != "" {
			t.Fatalf("%s (-whole +patched):\n%s", what, diff)
		}
	}
	for seed := range uint64(10) {
		t.Run(fmt.Sprintf("specs %d", seed), func(t *testing.T) {
			v := views()
			v.specs = newMirror(nil, mirrorConfig[struct{}]{keepMissing: true, parse: parseInternal})
			keys := []string{keyStoreID, confirmPrefix + "b", "server.b", "server.a", "model.a.z", "garbage", "model.b.x.y"}
			for i := range 40 {
				keys = append(keys, fmt.Sprintf("model.a.m%02d", i))
			}
			var before []*SpecEntry
			var kept []SpecEntry
			shuffle(seed, v.specs, func(r *rand.Rand) item[struct{}] {
				it := item[struct{}]{entry: entry{key: keys[r.IntN(len(keys))], deleted: r.IntN(4) == 0, value: []byte(fmt.Sprint(r.IntN(9)))}}
				if !it.deleted {
					it.val, it.err = parseInternal(it.entry)
				}
				return it
			}, func() {
				got := v.Specs()
				entries, confirmed := specView(v.specs.items, v.specs.created)
				same(t, "specs", entries, got.Entries)
				same(t, "confirmed", confirmed, got.Confirmed)
				same(t, "what was handed out before", kept, valuesOf(before))
				staysInPlace(t, before, got.Entries)
				before, kept = got.Entries, valuesOf(got.Entries)
			})
		})
		t.Run(fmt.Sprintf("statuses %d", seed), func(t *testing.T) {
			v := views()
			v.statuses = newMirror(nil, mirrorConfig[state.Status]{keepMissing: true})
			shuffle(seed, v.statuses, func(r *rand.Rand) item[state.Status] {
				it := item[state.Status]{entry: entry{key: fmt.Sprintf("model.a.m%02d", r.IntN(40)), deleted: r.IntN(4) == 0}}
				if it.val.Generation = fmt.Sprint(r.IntN(9)); r.IntN(8) == 0 && !it.deleted {
					it.err = errors.New("unreadable")
				}
				return it
			}, func() {
				got, _ := v.Statuses()
				same(t, "statuses", statusView(v.statuses.items), got)
			})
		})
		t.Run(fmt.Sprintf("observed %d", seed), func(t *testing.T) { patchedObserved(t, seed, views(), same) })
	}
}

func valuesOf(entries []*SpecEntry) (out []SpecEntry) {
	for _, e := range entries {
		out = append(out, *e)
	}
	return out
}

// staysInPlace holds what has not changed to lie where it lay.
func staysInPlace(t *testing.T, before, now []*SpecEntry) {
	t.Helper()
	for _, e := range before {
		if i := slices.IndexFunc(now, e.isSame); i >= 0 && now[i] != e {
			t.Fatalf("%s, which has not changed, lies elsewhere", e.Key)
		}
	}
}

func patchedObserved(t *testing.T, seed uint64, v *Views, same func(t *testing.T, what string, want, got any)) {
	t.Helper()
	v.observed = newMirror(nil, mirrorConfig[observation]{judge: judgeObservation, beat: isBeat, follow: v.charge})
	v.observed.synced = true
	incarnation := uint64(1)
	var before, kept state.Observed
	shuffle(seed, v.observed, func(r *rand.Rand) item[observation] {
		it := item[observation]{entry: entry{deleted: r.IntN(4) == 0}}
		switch n := r.IntN(60); {
		case n < 6:
			if it.key = keyAgent; n == 0 {
				incarnation++
			}
			it.deleted = n == 1 && r.IntN(4) == 0
			it.val.agent = &state.Agent{Incarnation: incarnation, Synced: r.IntN(8) > 0, At: time.Unix(int64(r.IntN(1000)), 0)}
		case n < 14:
			id := fmt.Sprint("n", n)
			it.key, it.val.node = nodePrefix+id, &nodeValue{Node: state.Node{ID: id, GPUs: r.IntN(9)}, Incarnation: uint64(r.IntN(int(incarnation) + 2))}
		default:
			u := &state.Unit{Server: "a", Unit: fmt.Sprint("u", n), Incarnation: incarnation - uint64(r.IntN(8)/7), Generation: fmt.Sprint(r.IntN(9))}
			it.key, it.val.unit = unitKey(u.Key()), u
			if r.IntN(40) == 0 {
				it.err = errors.New("unreadable")
			}
		}
		if it.deleted || it.err != nil {
			it.val = observation{}
		}
		return it
	}, func() {
		got := v.Observed()
		same(t, "observed", observe(v.observed.items, true), got)
		same(t, "what was handed out before", kept, before)
		before, kept = got, got
		kept.Units, kept.Nodes, kept.Gone = slices.Clone(got.Units), slices.Clone(got.Nodes), maps.Clone(got.Gone)
		for i, u := range kept.Units {
			kept.Units[i] = new(*u) // what is pointed to is not changed either
		}
	})
}

// What has not changed stays at its place in memory: nothing is compared further than that.
func TestPatchedViewsLeaveTheRestAtItsPlace(t *testing.T) {
	v := &Views{charge: &charge{}}
	v.statuses = newMirror(nil, mirrorConfig[state.Status]{keepMissing: true})
	put := func(i int, generation string) {
		v.statuses.mu.Lock()
		defer v.statuses.mu.Unlock()
		v.statuses.replace(item[state.Status]{entry: entry{key: fmt.Sprintf("model.a.m%02d", i)}, val: state.Status{Generation: generation}})
	}
	for i := range 40 {
		put(i, "1")
	}
	before, _ := v.Statuses()
	put(7, "2")
	after, _ := v.Statuses()
	for i := range after {
		if moved := before[i].Status != after[i].Status; moved != (i == 7) {
			t.Errorf("%s: moved %t", after[i].Key, moved)
		}
	}
	if after[7].Status.Generation != "2" || before[7].Status.Generation != "1" {
		t.Errorf("before %+v, after %+v", before[7].Status, after[7].Status)
	}
}

// One change costs one change, beside however many keys: counted, so it does not matter how
// fast or busy the machine is.
func TestOneChangeAllocatesForItselfAlone(t *testing.T) {
	const keys, atMost = 2000, 60
	v := &Views{charge: &charge{}}
	v.specs = newMirror(nil, mirrorConfig[struct{}]{keepMissing: true})
	v.statuses = newMirror(nil, mirrorConfig[state.Status]{keepMissing: true})
	v.observed = newMirror(nil, mirrorConfig[observation]{})
	spec := func(i int) item[struct{}] { return item[struct{}]{entry: entry{key: fmt.Sprintf("model.a.m%04d", i)}} }
	status := func(i int) item[state.Status] { return item[state.Status]{entry: spec(i).entry} }
	unit := func(i int) item[observation] {
		u := &state.Unit{Server: "a", Unit: fmt.Sprint(i), Incarnation: 1}
		return item[observation]{entry: entry{key: unitKey(u.Key())}, val: observation{unit: u}}
	}
	v.observed.replace(item[observation]{entry: entry{key: keyAgent}, val: observation{agent: &state.Agent{Incarnation: 1}}})
	for i := range keys {
		v.specs.replace(spec(i))
		v.statuses.replace(status(i))
		v.observed.replace(unit(i))
	}
	for name, change := range map[string]func(){
		"specs":    func() { v.specs.replace(spec(7)); v.Specs() },
		"statuses": func() { v.statuses.replace(status(7)); _, _ = v.Statuses() },
		"observed": func() { v.observed.replace(unit(7)); v.Observed() },
	} {
		change()
		if n := testing.AllocsPerRun(10, change); n > atMost {
			t.Errorf("%s: one change beside %d keys allocates %.0f times, want %d at most", name, keys, n, atMost)
		}
	}
	if len(v.Specs().Entries) != keys || len(v.Observed().Units) != keys {
		t.Errorf("%d specs, %d units", len(v.Specs().Entries), len(v.Observed().Units))
	}
}
