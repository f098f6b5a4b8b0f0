package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"dynctl/cmd/dynctl/internal/doctor"
	"dynctl/state"
	"dynctl/state/kv"
)

// spoiled is a store with one good and one unreadable value of each kind.
func spoiled(t *testing.T) *kv.Client {
	t.Helper()
	client := newStore(t)
	if _, err := client.PutStatus(t.Context(), state.Status{Kind: state.KindModel, Server: "default", Name: "good",
		Conditions: []state.Condition{{Type: state.CondReady, Status: state.StatusTrue}}}); err != nil {
		t.Fatal(err)
	}
	for at, value := range map[string]string{
		kv.BucketStatus + " model.default.hit":   "garbage",
		kv.BucketStatus + " zzz":                 "[]",
		kv.BucketObserved + " unit.default.good": `{"incarnation":1,"server":"default","unit":"good","state":"Running"}`,
		kv.BucketObserved + " unit.default.zzz":  "garbage",
		kv.BucketObserved + " node.n":            `{"id":"n","gpus":8}`,
		kv.BucketObserved + " node.x":            "[]",
		kv.BucketObserved + " agent":             `{"incarnation":1,"synced":true}`,
		kv.BucketLease + " leader":               `{"holder":"nobody","epoch":1}`,
		kv.BucketSpecs + " zzz":                  "garbage",
	} {
		bucket, key, _ := strings.Cut(at, " ")
		putValue(t, client.JetStream(), bucket, key, value)
	}
	return client
}

func putValue(t *testing.T, js jetstream.JetStream, bucket, key, value string) {
	t.Helper()
	b, err := js.KeyValue(t.Context(), bucket)
	if err == nil {
		_, err = b.Put(t.Context(), key, []byte(value))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func execute(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = newApp(strings.NewReader(""), &out, &errs).run(t.Context(), args)
	return code, out.String(), errs.String()
}

// What can be read is shown, what cannot is named on stderr, and the exit code says
// that it was done.
func TestUnreadableValuesAreLeftOutAndNamed(t *testing.T) {
	spoiled(t)
	for _, row := range []struct {
		args        string
		shows, warn string
	}{
		{"status", "good", "model.default.hit"},
		{"status -o json", "good", "model.default.hit"},
		{"get models -o json", "good", "model.default.hit"},
		{"get units -o json", "good", "unit.default.zzz"},
		{"get nodes", "n", "node.x"},
		{"events -n 1", "", ""},
	} {
		code, stdout, stderr := execute(t, strings.Fields(row.args)...)
		if code != 0 || !strings.Contains(stdout, row.shows) || !strings.Contains(stderr, row.warn) {
			t.Errorf("%s: exit code %d\n%s%s", row.args, code, stdout, stderr)
		}
	}
}

// Doctor has a finding for each, and does not say it on stderr too.
func TestDoctorNamesUnreadableValues(t *testing.T) {
	spoiled(t)
	_, stdout, stderr := execute(t, "doctor", "-o", "json")
	var findings []doctor.Finding
	if err := json.Unmarshal([]byte(stdout), &findings); err != nil {
		t.Fatalf("%v: %s%s", err, stdout, stderr)
	}
	var named []string
	for _, f := range findings {
		if f.Check == doctor.CheckValues && f.Result == doctor.Warn && f.Next != "" {
			named = append(named, f.Message)
		}
		if f.Check == doctor.CheckAgent && f.Result != doctor.OK {
			t.Errorf("agent: %+v", f)
		}
	}
	all := strings.Join(named, "\n")
	for _, key := range []string{"model.default.hit", "dynctl_status zzz", "unit.default.zzz", "node.x", "leader", "dynctl_specs zzz"} {
		if !strings.Contains(all, key) {
			t.Errorf("doctor does not name %s:\n%s", key, all)
		}
	}
	if stderr != "" && strings.Contains(stderr, "left out") {
		t.Errorf("doctor says it twice: %s", stderr)
	}
}

// A model that runs and whose spec the bucket has lost can be deleted.
func TestDeleteWithoutASpec(t *testing.T) {
	client := spoiled(t)
	code, stdout, stderr := execute(t, "delete", "model/good")
	if code != 0 || !strings.Contains(stdout, "deleted") || strings.Contains(stdout, "already gone") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	stream, err := client.JetStream().Stream(t.Context(), "KV_"+kv.BucketSpecs)
	if err != nil {
		t.Fatal(err)
	}
	marker, err := stream.GetLastMsgForSubject(t.Context(), "$KV."+kv.BucketSpecs+".model.default.good")
	if err != nil || marker.Header.Get(kv.HeaderDelete) != kv.DeleteNow {
		t.Errorf("marker %+v, %v", marker, err)
	}
	if code, stdout, _ := execute(t, "delete", "model/good"); code != 0 || !strings.Contains(stdout, "already gone") {
		t.Errorf("again: exit code %d\n%s", code, stdout)
	}
}

// A value that is nested as deep as JSON can be is shown as none, beside those that can be shown.
func TestAValueThatIsTooDeepToBeShown(t *testing.T) {
	client := newStore(t)
	somebody(t, client, "good", `{"model":"x/good"}`)
	for name, value := range map[string]string{"list": strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000), "object": strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000)} {
		putValue(t, client.JetStream(), kv.BucketSpecs, "model.default."+name, value)
	}
	for _, args := range []string{"get models -o json", "get models -o yaml", "history model/list -o json", "get models object -o yaml"} {
		code, stdout, stderr := execute(t, strings.Fields(args)...)
		if code != 0 || !strings.Contains(stdout, "document") || strings.Contains(args, "get models -o") && !strings.Contains(stdout, "x/good") {
			t.Errorf("%s: exit code %d\n%s%s", args, code, stdout, stderr)
		}
	}
}
