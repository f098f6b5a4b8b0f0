package kv

import (
	"slices"
	"sync"
	"testing"

	"dynctl/state"
)

// Each load but the first is told, with why.
func TestResyncsAreTold(t *testing.T) {
	st := newStore(t)
	js := st.ready()
	var mu sync.Mutex
	var told []string
	causes := func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(told)
	}
	w := &watched{t: t, kick: make(chan struct{}, 1)}
	kick := func() {
		select {
		case w.kick <- struct{}{}:
		default:
		}
	}
	w.Views = must(Watch(t.Context(), js, kick, OnResync(func(cause string) {
		mu.Lock()
		told = append(told, cause)
		mu.Unlock()
		kick()
	})))(t)
	t.Cleanup(w.Close)
	w.synced()
	if got := causes(); len(got) > 0 {
		t.Errorf("the first load is told: %v", got)
	}
	if err := js.DeleteStream(t.Context(), streamName(BucketSpecs)); err != nil {
		t.Fatal(err)
	}
	w.until("told", func() bool { return slices.Equal(causes(), []string{ResyncRecreated}) })
	w.synced()
	st.restart(js)
	rev := must(New(js).PutSpec(t.Context(), state.ServerKey("b"), []byte("1"), PutOptions{}))(t)
	w.until("the views again", func() bool { e, _ := w.spec("server.b"); return e.Revision == rev && len(causes()) >= 3 })
	for _, cause := range causes()[1:] {
		if cause != ResyncReconnect && cause != ResyncClosed {
			t.Errorf("after a restart: %s", cause)
		}
	}
}
