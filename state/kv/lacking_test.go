package kv

import (
	"bytes"
	"fmt"
	"testing"

	"dynctl/state"
)

// TestABucketLargerThanWhatIsSentAhead: what NATS leaves out of it is asked for. The views
// load, and a reader finds all keys, also such as are written or deleted meanwhile.
func TestABucketLargerThanWhatIsSentAhead(t *testing.T) {
	st := newStore(t)
	js := st.ready()
	want := map[string]uint64{}
	put := func(key string, value []byte) {
		t.Helper()
		ack, err := js.Publish(t.Context(), subject(BucketSpecs, key), value)
		if err != nil {
			t.Fatal(err)
		}
		want[key] = ack.Sequence
	}
	large := bytes.Repeat([]byte("[garbage"), (8<<20-1000)/8)
	for i := range 8 {
		put(fmt.Sprintf("model.default.l%d", i), large)
		put(fmt.Sprintf("model.default.s%d", i), []byte("{}"))
	}
	if _, err := New(js).DeleteSpec(t.Context(), state.ModelKey("default", "s3"), DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	delete(want, "model.default.s3")
	for range 2 {
		w := watch(t, st.dial())
		put("model.default.s5", []byte("{} "))
		w.synced()
		w.until("all keys", func() bool {
			found := map[string]uint64{}
			for _, e := range w.Specs().Entries {
				found[e.Key] = e.Revision
			}
			return len(lacking(found, want)) == 0
		})
		w.Close()
		entries, err := scan(t.Context(), st.dial(), BucketSpecs, "model.>", false)
		if err != nil {
			t.Fatal(err)
		}
		found, last := map[string]uint64{}, uint64(0)
		for _, e := range entries {
			found[e.key] = e.rev
			if e.rev < last {
				t.Errorf("%s comes after a later one", e.key)
			}
			last = e.rev
		}
		if keys := lacking(found, want); len(keys) > 0 {
			t.Errorf("a reader lacks %v", keys)
		}
	}
}

// lacking are the keys that are wanted and were not found as they are.
func lacking(found, want map[string]uint64) (keys []string) {
	for key, rev := range want {
		if found[key] != rev {
			keys = append(keys, key)
		}
	}
	return keys
}
