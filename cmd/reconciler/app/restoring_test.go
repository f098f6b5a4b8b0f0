package app

import (
	"errors"
	"strings"
	"testing"

	"dynctl/state/kv"
	"dynctl/state/kv/natsd"
)

// A store that is restored in part is told as that, not as a NATS that is away; and a
// reconciler that is started meanwhile waits, because the restore needs its NATS.
func TestAStoreThatIsBeingRestored(t *testing.T) {
	e := newEchoes(t)
	js := e.app.store.JetStream()
	lease, err := js.KeyValue(t.Context(), kv.BucketLease)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lease.Put(t.Context(), "restoring", []byte(`{"revisions":{"dynctl_specs":7}}`)); err != nil {
		t.Fatal(err)
	}
	for _, bucket := range []string{kv.BucketSpecs, kv.BucketStatus} {
		if err := js.DeleteKeyValue(t.Context(), bucket); err != nil {
			t.Fatal(err)
		}
	}
	e.until(func() bool { return errors.Is(e.app.views.Health().Err, kv.ErrRestoring) })
	if c := checkSpecs(e.app, nil); c.State != checkFailed || !strings.Contains(c.Text, "run it again") {
		t.Errorf("specs: %+v", c)
	}
	if c := checkNATS(e.app, nil); c.State != checkOK {
		t.Errorf("nats: %+v", c)
	}

	e.app.natsd = &natsd.Server{}
	made := make(chan error, 1)
	go func() { _, err := e.app.ensureStore(t.Context(), js); made <- err }()
	<-e.lines.wrote // that it waits
	if err := lease.Delete(t.Context(), "restoring"); err != nil {
		t.Fatal(err)
	}
	if err := <-made; err != nil {
		t.Fatal(err)
	}
}
