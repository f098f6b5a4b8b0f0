package app

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"dynctl/events"
	"dynctl/state"
	"dynctl/state/kv"
)

// readyzOf is what /readyz says, and each check of its verbose form by name.
func (r *rig) readyzOf() (code int, text string, checks map[string]check) {
	r.tb.Helper()
	ask := func(path string) (int, []byte) {
		answer, err := http.Get("http://" + r.app.listener.Addr().String() + path)
		if err != nil {
			r.tb.Fatal(err)
		}
		defer func() { _ = answer.Body.Close() }()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			r.tb.Fatal(err)
		}
		return answer.StatusCode, body
	}
	var verbose struct {
		State  string
		Checks []check
	}
	if _, body := ask("/readyz?verbose"); json.Unmarshal(body, &verbose) != nil {
		r.tb.Fatalf("/readyz?verbose: %s", body)
	}
	checks = map[string]check{"": {State: verbose.State}}
	for _, c := range verbose.Checks {
		checks[c.Name] = c
	}
	code, body := ask("/readyz")
	return code, string(body), checks
}

// eventually looks again every 20 ms.
func (r *rig) eventually(what string, ok func() bool) {
	r.tb.Helper()
	for late := time.Now().Add(30 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(late) {
			code, text, checks := r.readyzOf()
			r.tb.Fatalf("%s: not within 30 s; /readyz %d %s %+v", what, code, text, checks)
		}
	}
}

func (r *rig) notStartedAgain(workers map[string]state.Unit) {
	r.tb.Helper()
	for model, u := range workers {
		if first, last := r.started(u.Unit); last != first {
			r.tb.Errorf("%s was started again", model)
		}
	}
}

// putValue writes one value to several keys of a bucket.
func putValue(t *testing.T, js jetstream.JetStream, value, bucket string, keys ...string) {
	t.Helper()
	b, err := js.KeyValue(t.Context(), bucket)
	for _, key := range keys {
		if err == nil {
			_, err = b.Put(t.Context(), key, []byte(value))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Garbage stands under keys of every bucket, over what was good, beside it, and under
// keys that are nobody's: models are accepted, roll and heal all the same, nothing
// that runs is touched, and it is named. The reconciler repairs what is its own.
func TestGarbageInEveryBucket(t *testing.T) {
	r := newRig(t, 2)
	const models = 3
	r.declare(models)
	r.allReady(models)
	before := r.workers(models)
	js := r.connect()
	for i, value := range []string{"garbage", "[]", `{"acceptedRevision":18446744073709551615}`, `{"key":"model.default.other"}`} {
		t.Run(value, func(t *testing.T) {
			putValue(t, js, value, kv.BucketStatus, "model.default.m0000", "server.default", "model.default.nobody", "zzz", "model.default")
			putValue(t, js, value, kv.BucketObserved, "unit.default.zzz", "node.x", "later.thing", "unit.default."+before["m0001"].Unit)
			putValue(t, js, value, kv.BucketLease, "zzz")
			putValue(t, js, value, kv.BucketSpecs, "zzz")
			name := fmt.Sprintf("late%d", i)
			r.put("model.default."+name, "apiVersion: dynctl/v1alpha1\nkind: Model\nmetadata: {name: "+name+"}\nspec: {model: acme/"+name+", engine: mocker, resources: {gpus: 1}}\n")
			r.until(name+" is ready", func() bool { return r.ready["model.default."+name] })
			r.eventually("the reconciler's own buckets are clean", func() bool {
				list, err := r.client.Unreadable(t.Context())
				return err == nil && !slices.ContainsFunc(list, func(u kv.Unreadable) bool {
					return u.Bucket == kv.BucketStatus || u.Bucket == kv.BucketLease
				})
			})
			code, text, checks := r.readyzOf()
			if code != 200 || !strings.HasPrefix(text, "degraded\nvalues: ") || checks["values"].State != checkDegraded || !strings.Contains(text, "zzz") {
				t.Errorf("/readyz: %d %q %+v", code, text, checks)
			}
		})
	}
	r.notStartedAgain(before)
	if err := r.sim.Exit(before["m0002"].Key(), 1); err != nil {
		t.Fatal(err)
	}
	r.healed(before["m0002"])
	told := map[string]int{}
	for _, e := range storedEvents(t, js, events.TypeValueUnreadable) {
		told[e.Data.Message]++
	}
	if len(told) < 4*9 {
		t.Errorf("%d values were told: %v", len(told), told)
	}
	for message, n := range told {
		if n != 1 {
			t.Errorf("told %d times: %s", n, message)
		}
	}
}

// A purge of the spec bucket stops nothing and is said; a delete of what runs acts.
func TestPurgedSpecs(t *testing.T) {
	r := newRig(t, 1)
	r.declare(2)
	r.allReady(2)
	before := r.workers(2)
	stream, err := r.connect().Stream(t.Context(), "KV_"+kv.BucketSpecs)
	if err == nil {
		err = stream.Purge(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	r.eventually("it is said", func() bool {
		code, text, checks := r.readyzOf()
		return code == 200 && strings.Contains(text, "specs-missing: ") && strings.Contains(checks["specs-missing"].Text, "model.default.m0000")
	})
	r.eventually("the store id is there again", func() bool {
		id, err := r.client.StoreID(t.Context())
		return err == nil && id == r.app.views.StoreID()
	})
	r.notStartedAgain(before)
	if _, err := r.client.DeleteSpec(t.Context(), state.ModelKey("default", "m0000"), kv.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	r.until("it is gone", func() bool { return r.gone == 1 })
	r.put("model.default.m0001", "apiVersion: dynctl/v1alpha1\nkind: Model\nmetadata: {name: m0001}\nspec:\n  model: acme/m0001\n  servedName: m0001\n  engine: mocker\n  engineArgs: {max-model-len: 4096, block-size: 16}\n  resources: {gpus: 1}\n")
	r.eventually("it is declared again", func() bool {
		_, _, checks := r.readyzOf()
		return !strings.Contains(checks["specs-missing"].Text, "m0001")
	})
	if first, last := r.started(before["m0001"].Unit); last != first {
		t.Error("m0001 was started again")
	}
}
