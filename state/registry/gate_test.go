package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"dynctl/state"
)

// A gate is seen as one, by its namespace and lease, and is no worker.
func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeEtcd(keyA, cardA)
		r := newRegistry(Config{}, func(_, _ string) (store, error) { return f.dial() })
		defer r.Close()
		if err := r.Shut(t.Context(), "default", Gate{}); !errors.Is(err, ErrUnknownServer) {
			t.Errorf("without an etcd: %v", err)
		}
		r.Set(map[string]string{"default": "http://etcd:2379"})
		synctest.Wait()
		before := r.Snapshot()["default"]
		g := Gate{ServedName: "acme/big", Slug: "acme_big", Namespace: "curator-5e6f7a8b", Component: "acme_big_prefill"}
		if err := r.Shut(t.Context(), "default", g); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		v := r.Snapshot()["default"]
		if want := []state.Gate{{Namespace: g.Namespace, Lease: 0x99}}; !slices.Equal(v.Gates, want) || !slices.Equal(v.Instances, before.Instances) {
			t.Errorf("gates %v, instances %v; want %v and %v", v.Gates, v.Instances, want, before.Instances)
		}
		const key = "v1/mdc/curator-5e6f7a8b/acme_big_prefill/arriving/99"
		var card struct {
			Type, Namespace, Component, Endpoint string
			ID                                   int64 `json:"instance_id"`
			Card                                 struct {
				Name string `json:"display_name"`
				Type string `json:"worker_type"`
			} `json:"card_json"`
		}
		if err := json.Unmarshal([]byte(f.values[key]), &card); err != nil {
			t.Fatalf("%v in %q of %v", err, f.values[key], f.values)
		}
		if got, want := fmt.Sprint(card), "{Model curator-5e6f7a8b acme_big_prefill arriving 153 {acme/big encode}}"; got != want {
			t.Errorf("the card says %s, want %s", got, want)
		}
		if err := r.Renew(t.Context(), "default", 0x99); err != nil || !slices.Equal(f.renewed, []int64{0x99}) {
			t.Errorf("renewed %v, %v", f.renewed, err)
		}
		f.write(change{Key: key, Deleted: true})
		synctest.Wait()
		if v := r.Snapshot()["default"]; len(v.Gates) > 0 {
			t.Errorf("gates %v, want none", v.Gates)
		}
		f.set(func() { f.down = true })
		if err := r.Shut(t.Context(), "default", g); !errors.Is(err, ErrUnreachable) {
			t.Errorf("a dead etcd: %v", err)
		}
	})
}

// What has registered since the gate was asked for may serve: nothing is put before it.
func TestAGateThatIsOvertakenIsNotPut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeEtcd(keyA, cardA)
		r := newRegistry(Config{}, func(_, _ string) (store, error) { return f.dial() })
		defer r.Close()
		r.Set(map[string]string{"default": "http://etcd:2379"})
		synctest.Wait()
		g := Gate{ServedName: "m", Slug: "m", Namespace: "curator-5e6f7a8b", Component: "m_prefill", Seen: r.Snapshot()["default"].Revision}
		f.write(change{Key: "v1/mdc/curator-5e6f7a8b/m_prefill/generate/b1"})
		if err := r.Shut(t.Context(), "default", g); !errors.Is(err, ErrOvertaken) || errors.Is(err, ErrUnreachable) {
			t.Errorf("put: %v", err)
		}
		synctest.Wait()
		if v := r.Snapshot()["default"]; len(v.Gates) > 0 || !slices.Equal(f.revoked, []int64{0x99}) {
			t.Errorf("gates %v, revoked %v; want none, and the lease revoked", v.Gates, f.revoked)
		}
		g.Seen = r.Snapshot()["default"].Revision
		if err := r.Shut(t.Context(), "default", g); err != nil {
			t.Errorf("seen: %v", err)
		}
	})
}
