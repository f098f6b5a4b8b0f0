package app

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"dynctl/actors"
	"dynctl/events"
	"dynctl/state"
	"dynctl/state/kv"
)

// restored is a fleet of three models, of which one has been deleted and one changed
// since its backup, and beside which one has been declared.
type restored struct {
	*rig
	t      *testing.T
	old    map[string]state.Unit // by model, at the backup
	now    map[string]state.Unit // by model, before the restore
	backup bytes.Buffer

	stops map[string][]string // reasons, by unit; under rig.mu
}

func newRestored(t *testing.T) *restored {
	t.Helper()
	r := &restored{rig: newRig(t, 1), t: t, now: map[string]state.Unit{}, stops: map[string][]string{}}
	r.declare(3)
	r.allReady(3)
	r.old = r.workers(3)
	if _, err := r.client.Backup(t.Context(), &r.backup, time.Now()); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *restored) edit() {
	r.t.Helper()
	document := func(name, args string) string {
		return "apiVersion: dynctl/v1alpha1\nkind: Model\nmetadata: {name: " + name + "}\nspec:\n  model: acme/" + name +
			"\n  servedName: " + name + "\n  engine: mocker\n  engineArgs: {" + args + "}\n  resources: {gpus: 1}\n"
	}
	if _, err := r.client.DeleteSpec(r.t.Context(), state.ModelKey("default", "m0000"), kv.DeleteOptions{}); err != nil {
		r.t.Fatal(err)
	}
	r.put("model.default.m0001", document("m0001", "max-model-len: 8192, block-size: 16"))
	r.put("model.default.later", document("later", "block-size: 16"))
	r.until("the changes are carried out", func() bool {
		clear(r.now)
		for _, u := range r.units {
			if u.Model != "" && u.State != "" {
				r.now[u.Model] = u
			}
		}
		rolled := r.units[r.old["m0001"].Unit].State == "" // else its end would be taken for the restore's
		return rolled && r.now["later"].State == state.UnitRunning && len(r.now) == 3 && r.now["m0001"].Generation != r.old["m0001"].Generation &&
			r.ready["model.default.m0001"] && r.ready["model.default.later"] && r.gone == 1
	})
}

// noteStops keeps the reasons of all commands that end a unit.
func (r *restored) noteStops() {
	for _, verb := range []string{events.TypeStop, events.TypeSweep} {
		r.subscribe("dynctl.events.*."+verb+".>", func(m *nats.Msg) {
			if e, err := events.Decode(m.Data); err == nil {
				r.note(func() { r.stops[e.Object] = append(r.stops[e.Object], e.Data.Reason) })
			}
		})
	}
}

// awaitTheOld waits until what was deleted and what was changed run as in the backup.
func (r *restored) awaitTheOld() {
	r.t.Helper()
	r.until("what was deleted and what was changed are as they were", func() bool {
		generations := map[string]string{}
		for _, u := range r.units {
			if u.Model != "" && u.State == state.UnitRunning {
				generations[u.Model] += u.Generation
			}
		}
		return generations["m0000"] == r.old["m0000"].Generation && generations["m0001"] == r.old["m0001"].Generation &&
			r.ready["model.default.m0000"] && r.ready["model.default.m0001"]
	})
}

// rolledAlone wants no more to have ended than the changed model's unit, by its roll, and
// nothing else to have been started since.
func (r *restored) rolledAlone(since time.Time) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for unit, reasons := range r.stops {
		if unit != r.now["m0001"].Unit || slices.ContainsFunc(reasons, func(r string) bool { return r != actors.ReasonRollOld }) {
			r.t.Errorf("%s was stopped: %s", unit, strings.Join(reasons, ", "))
		}
	}
	for _, u := range []state.Unit{r.now["m0002"], r.now["later"]} {
		if now := r.units[u.Unit]; now.State != state.UnitRunning || now.Actors[0].Attempt != u.Actors[0].Attempt || r.starts[u.Unit].After(since) {
			r.t.Errorf("%s is %s in attempt %d, it was in %d", u.Unit, now.State, now.Actors[0].Attempt, u.Actors[0].Attempt)
		}
	}
}

// TestARestoreBesideRunningUnits: a backup that is older than what runs ends nothing but
// what a changed spec replaces, by the ordinary roll. What was deleted since comes back,
// and what was declared since runs on and is named.
func TestARestoreBesideRunningUnits(t *testing.T) {
	r := newRestored(t)
	r.edit()
	r.noteStops()
	if _, err := r.client.Restore(t.Context(), bytes.NewReader(r.backup.Bytes()), false); !errors.Is(err, kv.ErrNotEmpty) {
		t.Fatalf("restored over a store that holds something: %v", err)
	}
	began := time.Now()
	if _, err := r.client.Restore(t.Context(), bytes.NewReader(r.backup.Bytes()), true); err != nil {
		t.Fatal(err)
	}
	r.awaitTheOld()
	r.eventually("what was declared since is named", func() bool {
		s, err := r.client.GetStatus(t.Context(), state.ModelKey("default", "later"))
		c, _ := s.Condition(state.CondUpToDate)
		_, text, _ := r.readyzOf()
		return err == nil && c.Reason == actors.CondSpecMissing && strings.Contains(text, "model.default.later")
	})
	// The hold of a delete, after which a mistake would show.
	time.Sleep(time.Until(began.Add(actors.DefaultPolicy("").DeleteHold + time.Second)))
	r.rolledAlone(began)
}
