package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"dynctl/cmd/internal/storetest"
	"dynctl/state"
	"dynctl/state/kv"
	"dynctl/state/kv/natsd/natsdtest"
)

// TestAFarStore: over a NATS that is far away a verb takes as long as its round trips in a row:
// what does not depend on each other is read side by side.
func TestAFarStore(t *testing.T) {
	client, url := storetest.New(t)
	for _, doc := range []string{"model.default.tiny", "model.default.other"} {
		key, err := state.ParseKey(doc)
		if err != nil {
			t.Fatal(err)
		}
		value := "apiVersion: dynctl/v1alpha1\nkind: Model\nmetadata: {name: " + key.Name + "}\nspec: {model: /m, engine: mocker}\n"
		if _, err := client.PutSpec(t.Context(), key, []byte(value), kv.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	gate := natsdtest.NewGate(t, url)
	const way = 100 * time.Millisecond
	gate.Delay(way)
	t.Setenv(envNATSURL, gate.URL())
	for _, row := range []struct {
		args  string
		trips int // at most, with those of the connection
	}{
		{"get models", 8}, {"get units", 8}, {"get nodes", 8}, {"status", 8}, {"status model/tiny", 8}, {"history model/tiny", 12}, {"doctor", 15},
	} {
		t.Run(row.args, func(t *testing.T) {
			most := time.Duration(row.trips) * 2 * way
			var out, errs bytes.Buffer
			var took time.Duration
			for range 3 { // a machine that has other things to do proves nothing
				out.Reset()
				errs.Reset()
				began := time.Now()
				run(context.Background(), strings.Fields(row.args), strings.NewReader(""), &out, &errs)
				if took = time.Since(began); took <= most {
					break
				}
			}
			t.Logf("%s: %.1f round trips\n%s%s", row.args, took.Seconds()/(2*way).Seconds(), out.String(), errs.String())
			if took > most {
				t.Errorf("%s, want %s at most: %d round trips", took, most, row.trips)
			}
		})
	}
}
