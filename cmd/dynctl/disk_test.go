package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"

	"dynctl/actors"
	"dynctl/state/kv"
)

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
	for _, c := range []struct {
		check        kv.Check
		doctor, full string
	}{
		{kv.Check{Name: "disk", State: "degraded", Reason: actors.CondStoreFull, Text: "disk of the store is full; free space at /d"}, resultFail, "StoreFull: disk of the store is full; free space at /d"},
		{kv.Check{Name: "disk", State: "degraded", Text: "12 MiB are free"}, resultWarn, ""},
		{kv.Check{Name: "disk", State: "degraded", Text: "SPECS holds 15.0 MiB of the 16.0 MiB that it may: delete objects, or raise --max-spec-bytes"}, resultWarn, ""},
		{kv.Check{Name: "disk", State: "ok", Text: "99 MiB are free"}, resultOK, ""},
	} {
		disk.Store(&c.check)
		run := func(args ...string) (int, string) {
			var stdout, stderr bytes.Buffer
			code := newApp(strings.NewReader(""), &stdout, &stderr).run(t.Context(), args)
			return code, stdout.String()
		}
		_, out := run("doctor", "-o", "json")
		var findings []finding
		if err := json.Unmarshal([]byte(out), &findings); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		told, full := 0, c.full != ""
		for _, f := range findings {
			if f.Check == checkStore && f.Message == c.check.Text {
				told++
				if f.Result != c.doctor || (f.Next != "") != (c.doctor != resultOK) {
					t.Errorf("doctor: %+v, want %s", f, c.doctor)
				}
				if strings.Contains(f.Next, "larger disk") || strings.Contains(f.Next, "#storefull") != full {
					t.Errorf("doctor has for %q the advice %q", f.Message, f.Next)
				}
			}
			// Neither has reported here, as where nothing of them can be stored.
			if f.Check == checkReconciler || f.Check == checkAgent {
				if starts := !strings.Contains(f.Next, "see to the store first"); f.Result != resultFail || starts == full {
					t.Errorf("beside %q doctor says %+v", c.check.Text, f)
				}
			}
		}
		if told != 1 {
			t.Errorf("doctor tells it %d times: %s", told, out)
		}
		if code, out := run("status"); code != exitOK || strings.Contains(out, "StoreFull") != (c.full != "") || !strings.Contains(out, c.full) {
			t.Errorf("status ends with %d:\n%s", code, out)
		}
		for _, format := range []string{formatJSON, formatYAML} {
			if _, out := run("status", "-o", format); strings.Contains(out, "disk") != full || !strings.Contains(out, c.full) {
				t.Errorf("status -o %s: %s", format, out)
			}
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
