package kv

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"dynctl/state/kv/natsd/natsdtest"
)

// TestOneServerHoldsNoReplicas: what a single server cannot do is refused with what to do, and
// is not waited for.
func TestOneServerHoldsNoReplicas(t *testing.T) {
	_, js := natsdtest.Connect(t)
	_, err := EnsureBuckets(t.Context(), js, Limits{Replicas: 3})
	if !errors.Is(err, ErrFewServers) || Passes(err) || !strings.Contains(err.Error(), "pass --replicas 1, or the URLs of a cluster") {
		t.Errorf("%v", err)
	}
	if _, err := EnsureBuckets(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	// What is there stays as it is: it is told, and goes on.
	if _, err := EnsureBuckets(t.Context(), js, Limits{Replicas: 3}); err != nil {
		t.Errorf("buckets that are there: %v", err)
	}
	if err := Raise(t.Context(), js, 3, append(Buckets(), "NONE")...); !errors.Is(err, ErrFewServers) {
		t.Errorf("raised: %v", err)
	}
	sizes, err := Sizes(t.Context(), js)
	if err != nil || len(sizes) != 4 || sizes[0].Replicas != 1 {
		t.Errorf("%+v, %v", sizes, err)
	}
}

// TestWhatPasses: what NATS answers between two leaders passes, what is wrong does not.
func TestWhatPasses(t *testing.T) {
	api := func(code jetstream.ErrorCode) error {
		return fmt.Errorf("x: %w", &jetstream.APIError{ErrorCode: code})
	}
	for err, want := range map[error]bool{
		tooFew("x", 3, api(codeNoPeers)): true, api(codeNotAvailable): true, context.DeadlineExceeded: true, wrap("x", errors.New("i/o timeout")): true,
		tooFew("x", 3, api(codeNotClustered)): false, api(codeNoStorage): false, wrap("x", jetstream.ErrStreamNotFound): false,
	} {
		if Passes(err) != want {
			t.Errorf("%v passes: %v, want %v", err, !want, want)
		}
	}
}

// TestAStoreThatIsNotThere is not taken for one without a leader.
func TestAStoreThatIsNotThere(t *testing.T) {
	_, js := natsdtest.Connect(t)
	_, err := put(t.Context(), js, write{bucket: BucketSpecs, key: "model.default.m", value: []byte("x")})
	if err = wrap("put", err); !errors.Is(err, ErrNotAStore) || errors.Is(err, ErrUnreachable) {
		t.Errorf("%v", err)
	}
}
