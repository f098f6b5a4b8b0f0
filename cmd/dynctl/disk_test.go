package main

import (
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"

	"dynctl/actors"
	"dynctl/cmd/dynctl/internal/doctor"
	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/state/kv"
)

// diskRow is what a reconciler finds of the disk of the store, and what is made of it.
type diskRow struct {
	check        kv.Check
	doctor, full string // full: what status says; empty: nothing
}

// TestAFullDiskIsShown: doctor fails and status says so while any reconciler finds the
// disk of the store full, whatever the others find; nothing is said when it is over.
func TestAFullDiskIsShown(t *testing.T) {
	client := newStore(t)
	var disk atomic.Pointer[kv.Check]
	nc := client.JetStream().Conn()
	for _, answer := range []func() []byte{
		func() []byte { return []byte("no JSON") },
		func() []byte { return encoded(t, kv.Check{Name: "disk", State: "ok"}) },
		func() []byte { return encoded(t, *disk.Load()) },
	} {
		sub, err := nc.Subscribe(kv.SubjectChecks, func(m *nats.Msg) { _ = m.Respond(answer()) })
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = sub.Unsubscribe() })
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, row := range []diskRow{
		{kv.Check{Name: "disk", State: "degraded", Reason: actors.CondStoreFull, Text: "disk of the store is full; free space at /d"}, doctor.Fail, "StoreFull: disk of the store is full; free space at /d"},
		{kv.Check{Name: "disk", State: "degraded", Reason: actors.CondStoreFull, Soon: true, Text: "disk of the store is nearly full"}, doctor.Warn, "StoreFull: disk of the store is nearly full"},
		{kv.Check{Name: "disk", State: "degraded", Text: "12 MiB are free"}, doctor.Warn, ""},
		{kv.Check{Name: "disk", State: "degraded", Text: "SPECS holds 15.0 MiB of the 16.0 MiB that it may: delete objects, or raise --max-spec-bytes"}, doctor.Warn, ""},
		{kv.Check{Name: "disk", State: "ok", Text: "99 MiB are free"}, doctor.OK, ""},
	} {
		disk.Store(&row.check)
		row.inDoctor(t)
		row.inStatus(t)
	}
}

func (row diskRow) inDoctor(t *testing.T) {
	t.Helper()
	_, out, _ := execute(t, "doctor", "-o", "json")
	var findings []doctor.Finding
	if err := json.Unmarshal([]byte(out), &findings); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	told, full := 0, row.full != "" && !row.check.Soon
	for _, f := range findings {
		switch {
		case f.Check == doctor.CheckStore && f.Message == row.check.Text:
			told++
			row.advises(t, f)
		case f.Check == doctor.CheckReconciler, f.Check == doctor.CheckAgent:
			// Neither has reported here, as where nothing of them can be stored.
			if starts := !strings.Contains(f.Next, "see to the store first"); f.Result != doctor.Fail || starts == full {
				t.Errorf("beside %q doctor says %+v", row.check.Text, f)
			}
		}
	}
	if told != 1 {
		t.Errorf("doctor tells it %d times: %s", told, out)
	}
}

func (row diskRow) advises(t *testing.T, f doctor.Finding) {
	t.Helper()
	if f.Result != row.doctor || (f.Next != "") != (row.doctor != doctor.OK) {
		t.Errorf("doctor: %+v, want %s", f, row.doctor)
	}
	if strings.Contains(f.Next, "larger disk") || row.check.Soon && strings.Contains(f.Next, "another disk") || strings.Contains(f.Next, "#storefull") != (row.full != "") {
		t.Errorf("doctor has for %q the advice %q", f.Message, f.Next)
	}
}

func (row diskRow) inStatus(t *testing.T) {
	t.Helper()
	if code, out, _ := execute(t, "status"); code != exit.OK || strings.Contains(out, "StoreFull") != (row.full != "") || !strings.Contains(out, row.full) {
		t.Errorf("status ends with %d:\n%s", code, out)
	}
	for _, format := range []string{formatJSON, formatYAML} {
		if _, out, _ := execute(t, "status", "-o", format); strings.Contains(out, "disk") != (row.full != "") || !strings.Contains(out, row.full) {
			t.Errorf("status -o %s: %s", format, out)
		}
	}
}

func encoded(t *testing.T, c kv.Check) []byte {
	b, err := json.Marshal(kv.Checks{State: c.State, Checks: []kv.Check{{Name: "specs", State: "ok"}, c}})
	if err != nil {
		t.Error(err)
	}
	return b
}
