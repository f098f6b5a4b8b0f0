package kv

import (
	"bytes"
	"fmt"
	"testing"

	"dynctl/state"
)

// A flood of large specs waits in the store: the snapshot names them all and holds
// no more of their values than it may, and each value can be had.
func TestValuesAreLetGo(t *testing.T) {
	st := newStore(t)
	js := st.ready()
	c, ctx := New(js), t.Context()
	value := func(i int) []byte { return bytes.Repeat([]byte{byte('a' + i%26)}, state.MaxValueSize) }
	const n = keepSpecs/state.MaxValueSize + 8
	for i := range n {
		if _, err := c.PutSpec(ctx, state.ModelKey("default", fmt.Sprintf("m%02d", i)), value(i), PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	w := watch(t, js)
	w.synced()
	w.until("all are named", func() bool { return len(w.Specs().Entries) == n })
	held, without := 0, -1
	for i, e := range w.Specs().Entries {
		held += len(e.Value)
		if e.Size != state.MaxValueSize {
			t.Errorf("%s: size %d", e.Key, e.Size)
		}
		if e.Value == nil {
			without = i
		}
	}
	if held > keepSpecs || without < 0 {
		t.Fatalf("%d bytes are held; %d may be", held, keepSpecs)
	}
	w.Load(w.Specs().Entries[without])
	w.until("it is loaded", func() bool { return bytes.Equal(w.Specs().Entries[without].Value, value(without)) })
	w.Release(w.Specs().Entries...)
	for _, e := range w.Specs().Entries {
		if e.Value != nil {
			t.Errorf("%s is still held", e.Key)
		}
	}
	rev, err := c.PutSpec(ctx, state.ModelKey("default", "new"), []byte("x"), PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.until("there is room again", func() bool {
		e, ok := w.spec("model.default.new")
		return ok && e.Revision == rev && string(e.Value) == "x"
	})
}
