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

// TestARestoreBesideRunningUnits: a backup that is older than what runs ends nothing but
// what a changed spec replaces, by the ordinary roll. What was deleted since comes back,
// and what was declared since runs on and is named.
func TestARestoreBesideRunningUnits(t *testing.T) {
	r := newRig(t, 1)
	r.declare(3)
	r.allReady(3)
	old := r.workers(3)
	var backup bytes.Buffer
	if _, err := r.client.Backup(t.Context(), &backup, time.Now()); err != nil {
		t.Fatal(err)
	}

	// What happens since: one is deleted, one changed, one declared.
	document := func(name, args string) string {
		return "apiVersion: dynctl/v1alpha1\nkind: Model\nmetadata: {name: " + name + "}\nspec:\n  model: acme/" + name +
			"\n  servedName: " + name + "\n  engine: mocker\n  engineArgs: {" + args + "}\n  resources: {gpus: 1}\n"
	}
	if _, err := r.client.DeleteSpec(t.Context(), state.ModelKey("default", "m0000"), kv.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	r.put("model.default.m0001", document("m0001", "max-model-len: 8192, block-size: 16"))
	r.put("model.default.later", document("later", "block-size: 16"))
	changed := map[string]state.Unit{}
	r.until("the changes are carried out", func() bool {
		clear(changed)
		for _, u := range r.units {
			if u.Model != "" && u.State != "" {
				changed[u.Model] = u
			}
		}
		later, ok := changed["later"]
		return ok && later.State == state.UnitRunning && len(changed) == 3 && changed["m0001"].Generation != old["m0001"].Generation &&
			r.ready["model.default.m0001"] && r.ready["model.default.later"] && r.gone == 1
	})

	stops := map[string][]string{} // reasons, by unit
	for _, verb := range []string{events.TypeStop, events.TypeSweep} {
		r.subscribe("dynctl.events.*."+verb+".>", func(m *nats.Msg) {
			if e, err := events.Decode(m.Data); err == nil {
				r.note(func() { stops[e.Object] = append(stops[e.Object], e.Data.Reason) })
			}
		})
	}
	if _, err := r.client.Restore(t.Context(), bytes.NewReader(backup.Bytes()), false); !errors.Is(err, kv.ErrNotEmpty) {
		t.Fatalf("restored over a store that holds something: %v", err)
	}
	began := time.Now()
	if _, err := r.client.Restore(t.Context(), bytes.NewReader(backup.Bytes()), true); err != nil {
		t.Fatal(err)
	}
	r.until("what was deleted and what was changed are as they were", func() bool {
		generations := map[string]string{}
		for _, u := range r.units {
			if u.Model != "" && u.State == state.UnitRunning {
				generations[u.Model] += u.Generation
			}
		}
		return generations["m0000"] == old["m0000"].Generation && generations["m0001"] == old["m0001"].Generation &&
			r.ready["model.default.m0000"] && r.ready["model.default.m0001"]
	})
	later := changed["later"]
	r.eventually("what was declared since is named", func() bool {
		s, err := r.client.GetStatus(t.Context(), state.ModelKey("default", "later"))
		c, _ := s.Condition(state.CondUpToDate)
		_, text, _ := r.readyzOf()
		return err == nil && c.Reason == actors.CondSpecMissing && strings.Contains(text, "model.default.later")
	})
	// The hold of a delete, after which a mistake would show.
	time.Sleep(time.Until(began.Add(actors.DefaultPolicy("").DeleteHold + time.Second)))
	r.mu.Lock()
	defer r.mu.Unlock()
	for unit, reasons := range stops {
		if unit != changed["m0001"].Unit || slices.ContainsFunc(reasons, func(r string) bool { return r != actors.ReasonRollOld }) {
			t.Errorf("%s was stopped: %s", unit, strings.Join(reasons, ", "))
		}
	}
	for _, u := range []state.Unit{changed["m0002"], later} {
		if now := r.units[u.Unit]; now.State != state.UnitRunning || now.Actors[0].Attempt != u.Actors[0].Attempt || r.starts[u.Unit].After(began) {
			t.Errorf("%s is %s in attempt %d, it was in %d", u.Unit, now.State, now.Actors[0].Attempt, u.Actors[0].Attempt)
		}
	}
}
