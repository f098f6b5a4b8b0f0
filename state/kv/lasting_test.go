package kv

import (
	"maps"
	"slices"
	"testing"

	"dynctl/state"
)

// What NATS was told to store an entry by is not kept beside it; what its writer says is.
func TestAViewKeepsNoHeadersButOurs(t *testing.T) {
	js := newStore(t).ready()
	c := New(js)
	key := state.ModelKey("default", "m000")
	spec := "apiVersion: dynctl/v1alpha1\nkind: Model\nmetadata: {name: m000}\nspec: {model: acme/m, engine: mocker}\n"
	if _, err := c.PutSpec(t.Context(), key, []byte(spec), PutOptions{IfRevision: new(uint64), Author: "ann", Comment: "first"}); err != nil {
		t.Fatal(err)
	}
	revisionsOf(t, c.PutStatuses(t.Context(), someStatuses(BatchLeast, nil, "0badcafe")))
	w := watch(t, js)
	w.synced()
	w.specs.mu.Lock()
	of := w.specs.items[key.String()].header
	w.specs.mu.Unlock()
	if names := slices.Sorted(maps.Keys(of)); !slices.Equal(names, []string{HeaderAuthor, HeaderComment}) {
		t.Errorf("of the spec it keeps %v", names)
	}
	w.Views.statuses.mu.Lock()
	of = w.Views.statuses.items[key.String()].header
	w.Views.statuses.mu.Unlock()
	if of != nil {
		t.Errorf("of the status it keeps %v", of)
	}
}
