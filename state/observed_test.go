package state

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNodeCountsWhole(t *testing.T) {
	for _, tt := range []struct {
		text string
		want *Node // nil: refused
	}{
		{`{"id": "n", "gpus": 2.7, "cpus": 4.0}`, &Node{ID: "n", GPUs: 2, CPUs: 4, Alive: true}},
		{`{"id": "n", "gpus": 0.5, "cpus": 1e1, "alive": false}`, &Node{ID: "n", CPUs: 10}},
		{`{"id": "n", "gpus": 8, "head": true, "labels": {"a": "b"}}`, &Node{ID: "n", GPUs: 8, Head: true, Alive: true, Labels: map[string]string{"a": "b"}}},
		{`{"id": "n"}`, &Node{ID: "n", Alive: true}},
		{`{"id": "n", "gpus": null}`, &Node{ID: "n", Alive: true}},
		{`{"id": "n", "gpus": -1}`, nil},
		{`{"id": "n", "gpus": 1e300}`, nil},
		{`{"id": "n", "gpus": "8"}`, nil},
	} {
		n := Node{Alive: true} // what a caller presumes
		err := json.Unmarshal([]byte(tt.text), &n)
		if (err == nil) != (tt.want != nil) {
			t.Errorf("%s: %v", tt.text, err)
		} else if tt.want != nil {
			if diff := cmp.Diff(*tt.want, n); diff != "" {
				t.Errorf("%s: %s", tt.text, diff)
			}
		}
	}
	free := 0.5
	want := Node{ID: "n", GPUs: 3, FreeGPUs: &free}
	data, err := json.Marshal(want)
	var got Node
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("written and read: %v %s", err, diff)
	}
}
