package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/state/kv"
)

// What the agent reports is as old as the agent's last word.
func TestGetTellsOfASilentAgent(t *testing.T) {
	c := newStore(t)
	bucket, err := c.JetStream().KeyValue(t.Context(), kv.BucketObserved)
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range map[string]string{
		"agent":    `{"incarnation":1,"storeId":"s","session":"session_1","synced":true,"epoch":1,"nodeIp":"10.0.0.1"}`,
		"node.n":   `{"id":"n","ip":"10.0.0.1","alive":true,"gpus":8,"incarnation":1}`,
		"unit.s.u": `{"incarnation":1,"server":"s","unit":"u","storeId":"s","state":"Running","placementGroup":{"name":"dynamo_s_0a0a0a0a_pg_u","state":"CREATED"}}`,
	} {
		if _, err := bucket.Put(t.Context(), key, []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	for _, kind := range []string{"units", "nodes"} {
		for later, want := range map[time.Duration]string{
			0:         "",
			time.Hour: fmt.Sprintf("the agent has been silent for 60m, and what is said of %s is as it was then: see dynctl doctor\n", kind),
		} {
			var out, errs bytes.Buffer
			a := newApp(strings.NewReader(""), &out, &errs)
			a.now = func() time.Time { return time.Now().Add(later) }
			if code := a.run(t.Context(), []string{"get", kind}); code != exit.OK || errs.String() != want || strings.Count(out.String(), "\n") != 2 {
				t.Errorf("get %s %s later: exit code %d, %q\n%s", kind, later, code, errs.String(), out.String())
			}
		}
	}
}
