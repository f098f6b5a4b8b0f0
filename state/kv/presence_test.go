package kv

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dynctl/state/kv/natsd/natsdtest"
)

// lines is a log that several goroutines write and a test reads.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.b.String(), text)
}

func (l *lines) log() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// eventually waits for what takes milliseconds on a machine with nothing else to do.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

// lease is the lease as it stands; the zero Lease where there is none.
func (s *store) lease(js jetstream.JetStream) Lease {
	l, err := New(js).GetLeader(s.t.Context())
	if err != nil {
		return Lease{}
	}
	return l
}

// through is a connection to the store through a gate.
func (s *store) through(g *natsdtest.Gate) jetstream.JetStream {
	s.t.Helper()
	nc := must(nats.Connect(g.URL(), nats.ReconnectBufSize(-1), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond)))(s.t)
	s.t.Cleanup(nc.Close)
	return must(jetstream.New(nc))(s.t)
}

// A connection that ends is told by the server that had it: a standby leads before the
// lease has run out, and the old leader does not act from then on.
func TestTakeoverWhenTheConnectionEnds(t *testing.T) {
	t.Parallel()
	st := newStore(t)
	js := st.ready()
	gate := natsdtest.NewGate(t, st.srv.URL())
	first := runElector(t, st.through(gate), ElectorOptions{ID: "first"})
	term := first.term()
	var said lines
	second := runElector(t, st.dial(), ElectorOptions{ID: "second", Log: said.log()})
	eventually(t, "the leader can be asked", func() bool { return st.lease(js).Server != "" })
	gate.Refuse()
	began := time.Now()
	next := second.term()
	t.Logf("takeover after %s", time.Since(began))
	if term.Held() || !next.Held() || next.Epoch <= term.Epoch {
		t.Errorf("held: old %v, new %v; epoch %d after %d", term.Held(), next.Held(), next.Epoch, term.Epoch)
	}
	if !said.has("the connection of the leader to NATS has ended") {
		t.Error("the lease ran out first")
	}
	eventually(t, "the old term ends", func() bool { return term.Ctx.Err() != nil })
}

// The slower the store answers, the longer the lease of a leader that is alive lasts.
func TestALeaderWithASlowStoreKeepsTheLead(t *testing.T) {
	t.Parallel()
	st := newStore(t)
	js := st.ready()
	gate := natsdtest.NewGate(t, st.srv.URL())
	var said lines
	term := runElector(t, st.through(gate), ElectorOptions{ID: "first", Log: said.log()}).term()
	runElector(t, st.dial(), ElectorOptions{ID: "second"})
	eventually(t, "a standby waits", func() bool { return st.lease(js).LastsMS < LeaseTTL.Milliseconds() || said.has("lease ran out") })
	gate.Delay(100 * time.Millisecond)
	eventually(t, "the lease lasts longer", func() bool { return st.lease(js).LastsMS >= outlasts*200 || said.has("lease ran out") })
	for end := time.Now().Add(LeaseTTL); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if term.Ctx.Err() != nil && !said.has("lease ran out") {
			t.Fatal("the lease was taken from a leader that is alive")
		}
	}
	if said.has("lease ran out") {
		t.Log("too busy to renew a lease in time")
	} else if !term.Held() {
		t.Error("not held")
	}
}

// Between two connections nobody can tell whether the lease still stands; once it was
// renewed the term goes on.
func TestATermIsHeldOverOneConnection(t *testing.T) {
	t.Parallel()
	st := newStore(t)
	st.ready()
	gate := natsdtest.NewGate(t, st.srv.URL())
	var said lines
	for {
		c := runElector(t, st.through(gate), ElectorOptions{ID: "r1", Log: said.log()})
		term := c.term()
		if !term.Held() {
			t.Fatal("a new term is not held")
		}
		gate.Refuse()
		eventually(t, "nothing is held without a connection", func() bool { return !term.Held() })
		gate.Open()
		eventually(t, "the term is held again, or over", func() bool { return term.Held() || term.Ctx.Err() != nil })
		if term.Held() {
			return
		}
		if !said.has("lease ran out") {
			t.Fatal("the term ended, and not for want of time")
		}
		c.stop() // too busy to be back in time: once more
	}
}

// The server comes back: nobody leads beside the leader, who may go on or begin another
// term.
func TestARestartOfTheServerGivesNobodyTheLeadBeside(t *testing.T) {
	t.Parallel()
	st := newStore(t)
	js := st.ready()
	var terms []Term
	wins := make(chan won, 16)
	for i := range 3 {
		runElector(t, st.dial(), ElectorOptions{ID: string(rune('a' + i))}).tell(i, wins)
	}
	terms = append(terms, (<-wins).term)
	for range 3 {
		eventually(t, "a leader that can be asked", func() bool { return st.lease(js).Server != "" })
		st.restart(js)
		eventually(t, "somebody leads", func() bool {
			select {
			case w := <-wins:
				terms = append(terms, w.term)
			default:
			}
			held := 0
			for _, term := range terms {
				if term.Held() {
					held++
				}
			}
			if held > 1 {
				t.Fatalf("%d lead", held)
			}
			return held == 1
		})
	}
	for i, term := range terms[1:] {
		if term.Epoch <= terms[i].Epoch {
			t.Errorf("epoch %d after %d", term.Epoch, terms[i].Epoch)
		}
	}
	t.Logf("%d terms over 3 restarts", len(terms))
}

// A leader whose user may not hear the subject says so, and is not taken for dead.
func TestALeaderThatCannotBeAsked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	srv := must(server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, JetStream: true, StoreDir: dir, Users: []*server.User{
		{Username: "all", Password: "x"},
		{Username: "deaf", Password: "x", Permissions: &server.Permissions{
			Subscribe: &server.SubjectPermission{Deny: []string{"dynctl.reconciler.presence.>"}}}},
	}}))(t)
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(20 * time.Second) {
		t.Fatal("no server")
	}
	as := func(user string) jetstream.JetStream {
		quiet := nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})
		nc := must(nats.Connect(srv.ClientURL(), nats.UserInfo(user, "x"), quiet))(t)
		t.Cleanup(nc.Close)
		return must(jetstream.New(nc))(t)
	}
	js := as("all")
	must(EnsureBuckets(t.Context(), js))(t)
	var said lines
	term := runElector(t, as("deaf"), ElectorOptions{ID: "first", Log: said.log()}).term()
	second := runElector(t, as("all"), ElectorOptions{ID: "second"})
	for end := time.Now().Add(LeaseTTL + LeaseRenew); time.Now().Before(end) && term.Ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
		if l := must(New(js).GetLeader(t.Context()))(t); l.Server != "" || l.lasts() != LeaseTTL {
			t.Fatalf("lease %+v", l)
		}
	}
	select {
	case next := <-second.Leadership():
		if !said.has("lease ran out") {
			t.Errorf("epoch %d beside %d", next.Epoch, term.Epoch)
		}
	default:
	}
}

// A lease is respected for the time that it says; one of an earlier version, which says
// none, as long as that did.
func TestALeaseSaysHowLongItLasts(t *testing.T) {
	st := newStore(t)
	js := st.ready()
	e := NewElector(js, ElectorOptions{ID: "standby"})
	var rev uint64
	for _, c := range []struct {
		ms   int64
		want time.Duration
	}{{0, LeaseTTL}, {1200, 1200 * time.Millisecond}, {2000, 2 * time.Second}, {3000, LeaseTTL}} {
		rev = must(e.write(t.Context(), Lease{Holder: "old", Epoch: 1, LastsMS: c.ms}, rev))(t)
		var seen observedLease
		began := time.Now()
		wait := e.look(t.Context(), &seen)
		if took := time.Since(began); wait > c.want || wait < c.want-took {
			t.Errorf("lastsMs %d: taken in %s, want %s", c.ms, wait, c.want)
		}
	}
	rev = must(e.write(t.Context(), Lease{Holder: "x", Epoch: 1, LastsMS: 3600_000}, rev))(t)
	var seen observedLease
	if e.look(t.Context(), &seen); !seen.foreign {
		t.Error("a lease of an hour counts")
	}
	// What a term of one's own has left over needs no waiting for.
	must(e.write(t.Context(), Lease{Holder: "standby", Epoch: 5}, rev))(t)
	e.ended = 4
	if wait := e.look(t.Context(), &seen); wait <= 0 {
		t.Error("a lease of another term of the same name is taken")
	}
	e.ended = 5
	if wait := e.look(t.Context(), &seen); wait > 0 {
		t.Errorf("taken in %s", wait)
	}
}

// What a verdict rests on is the revision that was read before: a later one is not taken.
func TestAVerdictIsOfOneRevision(t *testing.T) {
	st := newStore(t)
	js := st.ready()
	e := NewElector(js, ElectorOptions{ID: "standby"})
	here := js.Conn().ConnectedServerId()
	rev := must(e.write(t.Context(), Lease{Holder: "x", Epoch: 7, Server: here}, 0))(t)
	var seen observedLease
	e.look(t.Context(), &seen)
	gone := func() bool { return e.left(t.Context(), seen) }
	eventually(t, "nobody answers for the term", gone)
	seen.left = true
	if wait := e.look(t.Context(), &seen); wait > 0 {
		t.Errorf("taken in %s", wait)
	}
	rev = must(e.write(t.Context(), Lease{Holder: "x", Epoch: 7, Server: here}, rev))(t)
	if wait := e.look(t.Context(), &seen); wait <= 0 || seen.left {
		t.Error("a revision that was written later is taken")
	}
	// Another server of a cluster knows nothing of the holder's connection.
	must(e.write(t.Context(), Lease{Holder: "x", Epoch: 7, Server: "another"}, rev))(t)
	e.look(t.Context(), &seen)
	for range 3 {
		if gone() {
			t.Fatal("told by a server that did not have the connection")
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	p := newPresence(st.dial().Conn(), "x", 7)
	var wg sync.WaitGroup
	wg.Go(func() { p.run(ctx) })
	defer wg.Wait()
	defer cancel()
	<-p.news
	seen.lease.Server = here
	for range 3 {
		if gone() {
			t.Fatal("somebody who answers is gone")
		}
	}
	if !p.awaited() || p.server(linkOf(p.nc)) != here {
		t.Errorf("awaited %v, through %q", p.awaited(), p.server(linkOf(p.nc)))
	}
}

func TestPace(t *testing.T) {
	var p pace
	now := time.Now()
	for _, c := range []struct {
		took, after, want time.Duration
	}{
		{5 * time.Millisecond, 0, LeaseShort},
		{200 * time.Millisecond, time.Second, 1600 * time.Millisecond},
		{5 * time.Millisecond, slowFor / 2, 1600 * time.Millisecond},
		{time.Second, time.Second, LeaseTTL},
		{5 * time.Millisecond, slowFor, LeaseTTL},
		{5 * time.Millisecond, time.Second, LeaseShort},
	} {
		now = now.Add(c.after)
		p.took(c.took, now)
		if got := p.lasts(true); got != c.want {
			t.Errorf("%s after %s: lasts %s, want %s", c.took, c.after, got, c.want)
		}
		if got := p.lasts(false); got != LeaseTTL {
			t.Errorf("lasts %s though nobody waits for it", got)
		}
	}
	// A holder never acts longer than a standby waits, whatever the lease lasts.
	for lasts := LeaseShort; lasts <= LeaseTTL; lasts += 100 * time.Millisecond {
		if renewEvery(lasts)+renewTry(lasts) >= lasts-leaseMargin(lasts) || contestedRenew(lasts) >= renewEvery(lasts) {
			t.Errorf("%s leaves no room for a second try", lasts)
		}
	}
}

// A renewal that says less may be read before its sender knows that it was stored.
func TestAShorterLeaseCountsFromWhenItIsSent(t *testing.T) {
	nc := newStore(t).dial().Conn()
	h := &holding{nc: nc}
	h.extend(time.Now(), LeaseTTL, linkOf(nc))
	h.promise(LeaseTTL)
	if left := h.left(); left < LeaseShort {
		t.Errorf("%s left of a lease that lasts as long as before", left)
	}
	h.promise(LeaseShort)
	if left := h.left(); left > LeaseShort-leaseMargin(LeaseShort) {
		t.Errorf("%s left of a lease of %s", left, LeaseShort)
	}
}
