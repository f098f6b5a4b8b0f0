package kv

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dynctl/state/kv/natsd/natsdtest"
)

// candidate is an elector that runs.
type candidate struct {
	*Elector
	t    *testing.T
	stop func()
}

func runElector(t *testing.T, js jetstream.JetStream, o ElectorOptions) *candidate {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := &candidate{Elector: NewElector(js, o), t: t}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := c.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	c.stop = func() { cancel(); wg.Wait() }
	t.Cleanup(c.stop)
	return c
}

func (c *candidate) term() Term {
	c.t.Helper()
	select {
	case term := <-c.Leadership():
		return term
	case <-time.After(15 * time.Second):
		c.t.Fatal("no term within 15 s")
		return Term{}
	}
}

// won is a term, and which of several electors has won it.
type won struct {
	who  int
	term Term
}

// tell passes the terms of a candidate on until the test ends.
func (c *candidate) tell(who int, wins chan<- won) {
	ctx, cancel := context.WithCancel(c.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case term := <-c.Leadership():
				wins <- won{who, term}
			case <-ctx.Done():
				return
			}
		}
	}()
	c.t.Cleanup(func() { cancel(); <-done })
}

func TestRacingElectors(t *testing.T) {
	st := newStore(t)
	st.ready()
	const n = 32
	wins := make(chan won, n)
	stops := make([]func(), n)
	for i := range n {
		c := runElector(t, st.dial(), ElectorOptions{ID: fmt.Sprint("r", i)})
		c.tell(i, wins)
		stops[i] = c.stop
	}
	var last won
	ranOut := 0
	for round := range 5 {
		var w won
		start := time.Now()
		select {
		case w = <-wins:
		case <-time.After(15 * time.Second):
			t.Fatal("no leader within 15 s")
		}
		t.Logf("round %d: r%d leads with epoch %d after %s", round, w.who, w.term.Epoch, time.Since(start))
		if w.term.Epoch <= last.term.Epoch {
			t.Errorf("epoch %d after %d", w.term.Epoch, last.term.Epoch)
		}
		if !w.term.Held() || round > 0 && last.term.Held() {
			t.Errorf("held: new %v, old %v", w.term.Held(), last.term.Held())
		}
		if round > 0 && time.Since(start) > 4*time.Second {
			t.Errorf("a released lease was taken after %s", time.Since(start))
		}
		if !leadsAlone(t, w, wins) {
			ranOut++
		}
		last = w
		stops[w.who]()
	}
	if ranOut > 2 { // once or twice on a machine that gives the holder no time
		t.Errorf("a lease that is renewed ran out in %d of 5 rounds", ranOut)
	}
}

// leadsAlone reports whether a term holds over several renewals. A win of another meanwhile
// is put back.
func leadsAlone(t *testing.T, w won, wins chan won) bool {
	t.Helper()
	select {
	case other := <-wins:
		if w.term.Held() {
			t.Fatalf("r%d leads beside r%d", other.who, w.who)
		}
		wins <- other
	case <-time.After(2 * LeaseRenew):
	}
	return w.term.Held()
}

// A term that ends while a renewal is under way knows an older revision of its lease.
func TestReleaseAfterARenewalWithoutAnswer(t *testing.T) {
	st := newStore(t)
	st.ready()
	js := st.dial()
	e := NewElector(js, ElectorOptions{ID: "r1"})
	rev, lease, held := e.campaign(t.Context(), observedLease{})
	if held == nil {
		t.Fatal("the lease was not won")
	}
	if _, err := e.write(t.Context(), lease, rev); err != nil { // and its answer is lost
		t.Fatal(err)
	}
	e.release(rev, lease)
	if entry, err := last(t.Context(), js, BucketLease, keyLeader); err != nil || !entry.deleted {
		t.Errorf("the lease stands after its release: %+v, %v", entry, err)
	}
	// A successor's is left alone.
	marker, err := last(t.Context(), js, BucketLease, keyLeader)
	if err != nil {
		t.Fatal(err)
	}
	if rev, _, held = e.campaign(t.Context(), observedLease{rev: marker.rev}); held == nil {
		t.Fatal("the lease was not won again")
	}
	e.release(rev-1, lease)
	if entry, err := last(t.Context(), js, BucketLease, keyLeader); err != nil || entry.deleted || entry.rev != rev {
		t.Errorf("the lease of a later term was released: %+v, %v", entry, err)
	}
}

func TestTakeoverAfterACrash(t *testing.T) {
	st := newStore(t)
	st.ready()
	// The leader's connection runs through a gate that can be shut: it neither
	// answers nor closes, as with a dead machine.
	gate := natsdtest.NewGate(t, st.srv.URL())
	nc := must(nats.Connect(gate.URL(), nats.ReconnectBufSize(-1), nats.MaxReconnects(-1)))(t)
	defer nc.Close()
	leader := runElector(t, must(jetstream.New(nc))(t), ElectorOptions{ID: "first", Version: "v9"})
	first := leader.term()
	standby := runElector(t, st.dial(), ElectorOptions{ID: "second"})
	client := New(st.dial())
	if l := must(client.GetLeader(t.Context()))(t); l.Holder != "first" || l.Epoch != first.Epoch || l.Version != "v9" {
		t.Errorf("lease %+v", l)
	}
	gate.Shut()
	start := time.Now()
	<-first.Ctx.Done()
	if d := time.Since(start); d > LeaseTTL {
		t.Errorf("the leader stepped down after %s, its lease lives %s", d, LeaseTTL)
	}
	select {
	case <-standby.Leadership():
		t.Fatal("the standby led before the leader had stepped down")
	default:
	}
	second := standby.term()
	took := time.Since(start)
	t.Logf("takeover after %s", took)
	if took > LeaseTTL+LeaseRenew+2*time.Second || second.Epoch <= first.Epoch || first.Held() {
		t.Errorf("takeover after %s, epoch %d after %d, old one held: %v", took, second.Epoch, first.Epoch, first.Held())
	}
	// What the old leader wrote late does not count.
	stale := Lease{Holder: "first", Epoch: first.Epoch}
	if _, err := NewElector(st.dial(), ElectorOptions{}).write(t.Context(), stale, 1); !errors.Is(wrap("", err), ErrConflict) {
		t.Errorf("late renewal: %v", err)
	}
}

// A paused process finds on waking that its lease is over, although no timer has
// run yet.
func TestPausedLeaderKnows(t *testing.T) {
	nc := newStore(t).dial().Conn()
	h := &holding{nc: nc}
	h.extend(time.Now().Add(-LeaseTTL), LeaseTTL, linkOf(nc))
	if (Term{Epoch: 1, Ctx: t.Context(), held: h}).Held() {
		t.Error("held after its time")
	}
	h.extend(time.Now(), LeaseTTL, linkOf(nc))
	if !(Term{Epoch: 1, Ctx: t.Context(), held: h}).Held() {
		t.Error("not held right after a renewal")
	}
}

func TestEpochOverLossOfTheBucket(t *testing.T) {
	st := newStore(t)
	js := st.ready()
	ctx := t.Context()
	c := runElector(t, st.dial(), ElectorOptions{ID: "a", Seen: func() uint64 { return 41 }})
	first := c.term()
	if first.Epoch != 42 {
		t.Errorf("epoch %d, want 42: the agent has seen 41", first.Epoch)
	}
	if err := js.DeleteStream(ctx, streamName(BucketLease)); err != nil {
		t.Fatal(err)
	}
	second := c.term()
	if second.Epoch <= first.Epoch || first.Held() {
		t.Errorf("epoch %d after %d, old one held: %v", second.Epoch, first.Epoch, first.Held())
	}
	c.stop()
	if _, ok := c.Leader(); ok {
		t.Error("a leader after the release")
	}
	again := runElector(t, st.dial(), ElectorOptions{ID: "b"})
	if third := again.term(); third.Epoch <= second.Epoch {
		t.Errorf("epoch %d after %d", third.Epoch, second.Epoch)
	}
}

func TestLeaseExpiresInTheStore(t *testing.T) {
	js := newStore(t).ready()
	e := NewElector(js, ElectorOptions{ID: "a"})
	rev := must(e.write(t.Context(), Lease{Holder: "a"}, 0))(t)
	must(e.write(t.Context(), Lease{Holder: "a"}, rev))(t) // a renewal keeps the TTL
	kv := must(js.KeyValue(t.Context(), BucketLease))(t)
	w := must(kv.Watch(t.Context(), keyLeader))(t)
	defer func() { _ = w.Stop() }()
	deadline := time.After(10 * time.Second)
	for {
		select {
		case entry := <-w.Updates():
			if entry != nil && entry.Operation() != jetstream.KeyValuePut {
				expiredIsNoLease(t, e)
				return
			}
		case <-deadline:
			t.Fatal("the lease did not expire within 10 s")
		}
	}
}

// expiredIsNoLease: what the server leaves in the place of a lease that has expired is
// neither a lease that was heard nor a value that cannot be read.
func expiredIsNoLease(t *testing.T, e *Elector) {
	t.Helper()
	entries := must(scan(t.Context(), e.js, BucketLease, keyLeader, false))(t)
	if len(entries) != 1 {
		t.Fatalf("entries %v, want the marker", entries)
	}
	if _, err := e.parse(entries[0]); err != nil {
		t.Errorf("the marker is taken for a value: %v", err)
	}
	if !e.lastHeard().IsZero() {
		t.Error("the marker is taken for a lease")
	}
}
