package kv

import (
	"errors"
	"strings"
	"testing"
)

// TestDiscardOfALongKey: a value is deleted by its whole key, however much of it is
// shown, and only as long as it stands there as it was seen.
func TestDiscardOfALongKey(t *testing.T) {
	js := newStore(t).ready()
	c := New(js)
	bucket, err := js.KeyValue(t.Context(), BucketStatus)
	if err != nil {
		t.Fatal(err)
	}
	keys := []string{"model.default." + strings.Repeat("q", 300), "short", "ends.in" + strings.Repeat("/x", 400)}
	for _, key := range keys {
		if _, err := bucket.PutString(t.Context(), key, "garbage"); err != nil {
			t.Fatal(err)
		}
	}
	found, err := c.Unreadable(t.Context())
	if err != nil || len(found) != len(keys) {
		t.Fatalf("found %d, %v", len(found), err)
	}
	if _, err := bucket.PutString(t.Context(), keys[1], "other garbage"); err != nil {
		t.Fatal(err)
	}
	for _, u := range found {
		if len(u.Key) > maxWhy+len("...") {
			t.Errorf("a key of %d characters is shown", len(u.Key))
		}
		if err := c.Discard(t.Context(), u); err != nil && (u.Key != keys[1] || !errors.Is(err, ErrConflict)) {
			t.Errorf("%.40s: %v", u.Key, err)
		}
	}
	left, err := c.Unreadable(t.Context())
	if err != nil || len(left) != 1 || left[0].Key != keys[1] {
		t.Errorf("left: %v, %v", left, err)
	}
}
