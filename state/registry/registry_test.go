package registry

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"dynctl/state"
)

const (
	keyA     = "v1/instances/curator-1a2b3c4d/m/generate/a1"
	cardA    = "v1/mdc/curator-1a2b3c4d/m/generate/a1"
	keyB     = "v1/instances/curator-1a2b3c4d/m/generate/b2"
	endpoint = "http://10.0.0.1:2379"
)

func instance(lease int64, card bool) state.Instance {
	return state.Instance{Namespace: "curator-1a2b3c4d", Component: "m", Endpoint: "generate", Lease: lease, Card: card}
}

// watch runs a test on a registry that watches the fake as server "default".
func watch(t *testing.T, f *fakeEtcd, test func(t *testing.T, r *Registry)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry(Config{}, func(_, _ string) (store, error) { return f.dial() })
		defer r.Close()
		r.Set(map[string]string{"default": endpoint})
		synctest.Wait()
		test(t, r)
	})
}

func drained(kick <-chan struct{}) bool {
	select {
	case <-kick:
		return true
	default:
		return false
	}
}

// disturbance leaves keyB as the only instance, one way or another.
type disturbance struct {
	name    string
	disturb func(f *fakeEtcd)
	after   time.Duration // the truth is known
	lists   int           // so many listings
}

// Every way in which a watch can end or miss something ends in the truth, without a gap.
func TestWatcherEndsInTheTruth(t *testing.T) {
	endInTheTruth(t, []disturbance{
		{"a change is followed", func(f *fakeEtcd) {
			f.write(change{Key: keyA, Deleted: true}, change{Key: keyB})
		}, 0, 1},
		{"a closed watch: list again", func(f *fakeEtcd) {
			w := f.lastWatch()
			f.set(func() { f.deaf = true })
			f.write(change{Key: keyA, Deleted: true}, change{Key: keyB})
			close(w.batches)
		}, time.Second, 2},
		{"a compacted revision: list again", func(f *fakeEtcd) {
			f.set(func() { f.compacted = true; f.deaf = true })
			f.write(change{Key: keyA, Deleted: true}, change{Key: keyB})
			close(f.lastWatch().batches)
		}, time.Second, 3},
		{"a lost connection: list again at once", func(f *fakeEtcd) {
			f.set(func() { f.deaf = true })
			f.write(change{Key: keyA, Deleted: true}, change{Key: keyB})
			f.lost <- struct{}{}
		}, 100 * time.Millisecond, 2},
	})
}

// So does every way in which an etcd can be replaced by another one.
func TestWatcherFindsAnotherEtcd(t *testing.T) {
	endInTheTruth(t, []disturbance{
		{"another cluster id in a probe: list again", func(f *fakeEtcd) {
			f.set(func() {
				f.header = header{ClusterID: 8, Revision: 99}
				f.keys = map[string]bool{keyB: true}
			})
		}, time.Second, 2},
		{"a lower revision in a probe: list again", func(f *fakeEtcd) {
			f.set(func() {
				f.header.Revision = 2
				f.keys = map[string]bool{keyB: true}
			})
		}, time.Second, 2},
		{"another cluster id in the watch: list again", func(f *fakeEtcd) {
			f.set(func() { f.header = header{ClusterID: 8, Revision: 50}; f.keys = map[string]bool{} })
			f.write(change{Key: keyB})
		}, 100 * time.Millisecond, 2},
		{"a lower revision in the watch: list again", func(f *fakeEtcd) {
			f.set(func() { f.header.Revision = 1; f.keys = map[string]bool{} })
			f.write(change{Key: keyB})
		}, 100 * time.Millisecond, 2},
	})
}

// TestAViewThatExpiredComesBack: after a time in which this process was stopped all of its
// timers fire at once, that of the view too, and the session goes on with an etcd in which
// nothing changes.
func TestAViewThatExpiredComesBack(t *testing.T) {
	f := newFakeEtcd(keyA, cardA)
	watch(t, f, func(t *testing.T, r *Registry) {
		r.watchers["default"].expire()
		if v := r.Snapshot()["default"]; v.Known {
			t.Fatalf("got %+v", v)
		}
		drained(r.kick)
		time.Sleep(time.Second)
		synctest.Wait()
		if v := r.Snapshot()["default"]; !v.Known || len(v.Instances) != 1 || v.Err != "" || len(v.Lost) > 0 {
			t.Errorf("got %+v", v)
		}
		if !drained(r.kick) {
			t.Error("nobody was told")
		}
		if f.lists != 1 {
			t.Errorf("listed %d times, want once: nothing was missed", f.lists)
		}
	})
}

func endInTheTruth(t *testing.T, tests []disturbance) {
	t.Helper()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFakeEtcd(keyA, cardA)
			watch(t, f, func(t *testing.T, r *Registry) {
				before := r.Snapshot()["default"]
				want := state.Registrations{Known: true, ClusterID: 7, Revision: 10, Instances: []state.Instance{instance(0xa1, true)}}
				if diff := cmp.Diff(want, before); diff != "" {
					t.Fatalf("first listing: %s", diff)
				}
				if got := f.lastWatch().from; got != 11 {
					t.Errorf("watched from revision %d, want 11: the one after the listing", got)
				}
				test.disturb(f)
				time.Sleep(test.after)
				synctest.Wait()
				got := r.Snapshot()["default"]
				if diff := cmp.Diff([]state.Instance{instance(0xb2, false)}, got.Instances); diff != "" || !got.Known {
					t.Errorf("known %v (%s): %s", got.Known, got.Err, diff)
				}
				if got := f.listCount(); got != test.lists {
					t.Errorf("listed %d times, want %d", got, test.lists)
				}
			})
		})
	}
}

// An etcd that does not answer is unknown after the bound, never empty, and is
// known again by itself.
func TestUnreachableIsUnknown(t *testing.T) {
	tests := []struct {
		name string
		fail func(f *fakeEtcd)
	}{
		{"killed: the connection is lost", func(f *fakeEtcd) {
			f.set(func() { f.down = true })
			f.lost <- struct{}{}
		}},
		{"silent: nothing is lost, nothing answers", func(f *fakeEtcd) { f.set(func() { f.silent = true }) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFakeEtcd(keyA)
			watch(t, f, func(t *testing.T, r *Registry) {
				drained(r.Kick())
				test.fail(f)
				synctest.Wait()
				if got := r.Snapshot()["default"]; !got.Known || len(got.Instances) != 1 {
					t.Errorf("a gap shorter than the bound already shows: %+v", got)
				}
				time.Sleep(2100 * time.Millisecond)
				synctest.Wait()
				got := r.Snapshot()["default"]
				if got.Known || got.Instances != nil || !strings.Contains(got.Err, endpoint) {
					t.Errorf("after the bound: %+v, want unknown with the endpoint in Err", got)
				}
				if !drained(r.Kick()) {
					t.Error("becoming unknown kicks nobody")
				}
				f.set(func() { f.down, f.silent = false, false })
				time.Sleep(2500 * time.Millisecond)
				synctest.Wait()
				if got := r.Snapshot()["default"]; !got.Known || len(got.Instances) != 1 {
					t.Errorf("after its return: %+v", got)
				}
			})
		})
	}
}

// A bound that is noticed long after it was due says that this process was stopped, and nothing
// of etcd, whose answers are still to be read.
func TestAStopOfThisProcessIsNoSilenceOfEtcd(t *testing.T) {
	f := newFakeEtcd(keyA)
	watch(t, f, func(t *testing.T, r *Registry) {
		drained(r.Kick())
		w := r.watchers["default"]
		w.mu.Lock()
		w.due = time.Now().Add(-20 * time.Second)
		w.mu.Unlock()
		f.set(func() { f.silent = true })
		w.expire()
		if got := r.Snapshot()["default"]; !got.Known || drained(r.Kick()) {
			t.Errorf("after the stop: %+v", got)
		}
		time.Sleep(2100 * time.Millisecond)
		synctest.Wait()
		if got := r.Snapshot()["default"]; got.Known {
			t.Errorf("it does not answer after that either: %+v", got)
		}
	})
}

func TestRestartWithinTheBoundIsNotSeen(t *testing.T) {
	f := newFakeEtcd(keyA)
	watch(t, f, func(t *testing.T, r *Registry) {
		drained(r.Kick())
		f.set(func() { f.down = true })
		f.lost <- struct{}{}
		time.Sleep(900 * time.Millisecond)
		f.set(func() { f.down = false })
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got := r.Snapshot()["default"]; !got.Known || drained(r.Kick()) {
			t.Errorf("a restart on its data within the bound shows: %+v", got)
		}
	})
}

func TestChangesCoalesceIntoOneKick(t *testing.T) {
	f := newFakeEtcd()
	watch(t, f, func(t *testing.T, r *Registry) {
		drained(r.Kick())
		f.write(change{Key: keyA})
		f.write(change{Key: keyB})
		synctest.Wait()
		if !drained(r.Kick()) || drained(r.Kick()) {
			t.Error("want one token for two changes")
		}
		f.write(change{Key: "v1/event_channels/x"}, change{Key: "v1/instances/ns/m/worker_kv_query_source_1/a1"})
		synctest.Wait()
		if drained(r.Kick()) {
			t.Error("a key that says nothing about workers kicks")
		}
		if got := r.Snapshot()["default"].Revision; got != 13 {
			t.Errorf("revision %d, want 13", got)
		}
	})
}

func TestSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		etcds := map[string]*fakeEtcd{"http://a:1": newFakeEtcd(keyA), "http://b:1": newFakeEtcd(keyB)}
		r := newRegistry(Config{}, func(_, endpoint string) (store, error) {
			if f := etcds[endpoint]; f != nil {
				return f.dial()
			}
			return nil, errors.New("no scheme")
		})
		defer r.Close()
		r.Set(map[string]string{"one": "http://a:1", "none": "", "bad": "::"})
		synctest.Wait()
		got := r.Snapshot()
		if !got["one"].Known || got["none"].Known || got["bad"].Known || len(got) != 3 {
			t.Errorf("got %+v", got)
		}
		if !strings.Contains(got["bad"].Err, "spec.etcd.endpoint") || got["none"].Err == "" {
			t.Errorf("no reasons: %q, %q", got["bad"].Err, got["none"].Err)
		}
		drained(r.Kick())
		r.Set(map[string]string{"one": "http://a:1", "none": "", "bad": "::"})
		if drained(r.Kick()) {
			t.Error("the same map kicks")
		}

		etcds["http://b:1"].set(func() { etcds["http://b:1"].silent = true })
		r.Set(map[string]string{"one": "http://b:1"})
		got = r.Snapshot()
		if got["one"].Known || len(got) != 1 || !drained(r.Kick()) {
			t.Errorf("a new endpoint is unknown until it answers: %+v", got)
		}
		synctest.Wait()
		if !etcds["http://a:1"].closed {
			t.Error("the old etcd's client is left open")
		}
	})
}

func TestRevoke(t *testing.T) {
	f := newFakeEtcd()
	watch(t, f, func(t *testing.T, r *Registry) {
		if err := r.Revoke(t.Context(), "default", 0xa1); err != nil || len(f.revoked) != 1 {
			t.Errorf("revoked %v, %v", f.revoked, err)
		}
		if err := r.Revoke(t.Context(), "other", 1); !errors.Is(err, ErrUnknownServer) {
			t.Errorf("unknown server: %v", err)
		}
		f.set(func() { f.down = true })
		if err := r.Revoke(t.Context(), "default", 1); !errors.Is(err, ErrUnreachable) {
			t.Errorf("etcd away: %v", err)
		}
		f.set(func() { f.silent = true })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Revoke(ctx, "default", 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the context's end: %v", err)
		}
	})
}

func TestParseKey(t *testing.T) {
	tests := []struct {
		name, key string
		want      workerKey
		kind      kind
	}{
		{"instance", "v1/instances/curator-1a2b3c4d/m_decode/generate/a1ca20b96cc5b0f", workerKey{"curator-1a2b3c4d", "m_decode", 0xa1ca20b96cc5b0f}, kindInstance},
		{"card", "v1/mdc/curator-1a2b3c4d/m_decode/generate/a1ca20b96cc5b0f", workerKey{"curator-1a2b3c4d", "m_decode", 0xa1ca20b96cc5b0f}, kindCard},
		{"gate", "v1/mdc/curator-1a2b3c4d/m_prefill/arriving/a1", workerKey{"curator-1a2b3c4d", "m_prefill", 0xa1}, kindGate},
		{"gate of no card", "v1/instances/curator-1a2b3c4d/m_prefill/arriving/a1", workerKey{}, kindOther},
		{"one that leaves", "v1/mdc/curator-1a2b3c4d/m_prefill/leaving/a1", workerKey{}, kindOther},
		{"another endpoint of the worker", "v1/instances/ns/m/worker_kv_query_source_1/a1", workerKey{}, kindOther},
		{"event channel", "v1/event_channels/namespace/ns/x", workerKey{}, kindOther},
		{"no lease", "v1/instances/ns/m/generate", workerKey{}, kindOther},
		{"lease of zero", "v1/instances/ns/m/generate/0", workerKey{}, kindOther},
		{"lease beyond int64", "v1/instances/ns/m/generate/ffffffffffffffff", workerKey{}, kindOther},
		{"deeper", "v1/mdc/ns/m/generate/a1/lora", workerKey{}, kindOther},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, kind := parseKey(test.key)
			if got != test.want || kind != test.kind {
				t.Errorf("got %v, kind %d", got, kind)
			}
		})
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add(keyA)
	f.Add(cardA)
	f.Fuzz(func(t *testing.T, key string) {
		k, kind := parseKey(key)
		if kind != kindOther && (k.namespace == "" || k.component == "" || k.lease <= 0) {
			t.Errorf("%q: %+v", key, k)
		}
	})
}

// Keys recorded from Dynamo 1.6.0: an aggregated worker, a prefill and a decode.
func TestRecordedKeys(t *testing.T) {
	raw, err := os.ReadFile("testdata/keys.txt")
	if err != nil {
		t.Fatal(err)
	}
	got := newContents(listing{Keys: strings.Fields(string(raw))}).registrations().Instances
	want := []state.Instance{
		{Namespace: "curator-1a2b3c4d", Component: "qwen_qwen3_8b", Endpoint: "generate", Lease: 0xa1ca20b96cc5b1c, Card: true},
		{Namespace: "curator-5e6f7a8b", Component: "acme_big_decode", Endpoint: "generate", Lease: 0xa1ca20b96cc5b0f, Card: true},
		{Namespace: "curator-5e6f7a8b", Component: "acme_big_prefill", Endpoint: "generate", Lease: 0xa1ca20b96cc5b08, Card: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
