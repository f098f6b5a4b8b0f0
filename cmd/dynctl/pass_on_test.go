package main

import (
	"encoding/json"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"

	"dynctl/cmd/dynctl/internal/doctor"
	"dynctl/state/kv"
)

// TestDoctorPassesOn: what two reconcilers find of replicas, of what they leave as it is and of
// processes that are kept ready is told once; where all is well of the last alone.
func TestDoctorPassesOn(t *testing.T) {
	client := newStore(t)
	nc := client.JetStream().Conn()
	var answer atomic.Pointer[kv.Check]
	for range 2 {
		sub, err := nc.Subscribe(kv.SubjectChecks, func(m *nats.Msg) { _ = m.Respond(encoded(t, *answer.Load())) })
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = sub.Unsubscribe() })
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		check kv.Check
		told  int
	}{
		{kv.Check{Name: kv.CheckReplicas, State: "degraded", Text: "--replicas asks for 3, and fewer servers hold dynctl_specs (1)"}, 1},
		{kv.Check{Name: kv.CheckKept, State: "degraded", Text: "1 are left as they are: model.default.m"}, 1},
		{kv.Check{Name: kv.CheckReplicas, State: "ok", Text: "all is well"}, 0},
		{kv.Check{Name: kv.CheckWarm, State: "degraded", Text: "0 of 2 worker processes are kept ready"}, 1},
		{kv.Check{Name: kv.CheckWarm, State: "ok", Text: "2 of 2 worker processes are kept ready"}, 1},
	} {
		answer.Store(&row.check)
		_, out, _ := execute(t, "doctor", "-o", "json")
		var findings []doctor.Finding
		if err := json.Unmarshal([]byte(out), &findings); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		told := 0
		for _, f := range findings {
			if f.Message == row.check.Text {
				told++
				if wrong := row.check.State != "ok"; (f.Result == doctor.Warn) != wrong || (f.Next != "") != wrong {
					t.Errorf("%+v", f)
				}
			}
		}
		if told != row.told {
			t.Errorf("%s %s is told %d times, want %d: %s", row.check.Name, row.check.State, told, row.told, out)
		}
	}
}
