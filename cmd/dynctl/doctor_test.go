package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"dynctl/events"
	"dynctl/state/kv"
	"dynctl/state/kv/natsd/natsdtest"
)

// TestDoctorClock: a clock that disagrees with the store's is told of, and what
// the store says is not misread because of it.
func TestDoctorClock(t *testing.T) {
	server := natsdtest.Start(t)
	client, err := kv.Connect(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kv.EnsureBuckets(t.Context(), client.JetStream()); err != nil {
		t.Fatal(err)
	}
	if err := events.EnsureStream(t.Context(), client.JetStream()); err != nil {
		t.Fatal(err)
	}
	observed, err := client.JetStream().KeyValue(t.Context(), kv.BucketObserved)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(envNATSURL, server.URL())
	for _, row := range []struct {
		ahead   time.Duration
		result  string
		message string
	}{
		{0, resultOK, "less than 2s apart"},
		{time.Hour + 30*time.Second, resultWarn, "60m ahead of that of NATS"},
		{-time.Hour - 30*time.Second, resultWarn, "60m behind that of NATS"},
	} {
		if _, err := observed.Put(t.Context(), "agent", []byte(`{"incarnation": 1, "synced": true, "version": "1"}`)); err != nil {
			t.Fatal(err)
		}
		var stdout, stderr bytes.Buffer
		a := newApp(strings.NewReader(""), &stdout, &stderr)
		a.now = func() time.Time { return time.Now().Add(row.ahead) }
		a.run(t.Context(), []string{"doctor", "-o", "json"})
		var findings []finding
		if err := json.Unmarshal(stdout.Bytes(), &findings); err != nil {
			t.Fatalf("%v: %s%s", err, stdout.String(), stderr.String())
		}
		for _, f := range findings {
			switch {
			case f.Check == checkClock && (f.Result != row.result || !strings.Contains(f.Message, row.message)):
				t.Errorf("%s ahead: got %s, %q; want %s, %q", row.ahead, f.Result, f.Message, row.result, row.message)
			case f.Check == checkAgent && f.Result != resultOK:
				t.Errorf("%s ahead: an agent that has just reported: %s, %q", row.ahead, f.Result, f.Message)
			}
		}
	}
}
