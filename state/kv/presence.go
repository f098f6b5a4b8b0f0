package kv

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"dynctl/state/roles"
)

const (
	// askEvery is how often a standby asks whether the holder of the lease is there.
	askEvery = 100 * time.Millisecond
	// awaitedFor is how long a standby counts that has asked.
	awaitedFor = 10 * time.Second
	// proveWithin bounds the holder's proof that it can be asked; it is tried again after
	// twice as long each time, up to proveAtLast.
	proveWithin = time.Second
	proveAtLast = time.Minute
)

// link is one connection to one server, from its begin to its end.
type link struct {
	number uint64
	server string // its id; empty: there is no connection
}

// linkOf is the connection as it is now.
func linkOf(nc *nats.Conn) link {
	for {
		l := link{number: nc.Stats().Reconnects, server: nc.ConnectedServerId()}
		if l.number == nc.Stats().Reconnects {
			return l
		}
	}
}

// presence answers standbys on the subject of a term. What it answers does not matter:
// when the holder's connection ends, for whatever reason, the server that had it tells
// whoever asks that nobody is there.
type presence struct {
	nc      *nats.Conn
	id      string // of the holder, who asks too
	subject string
	// news is told when the next renewal would say something else than the last one.
	news chan struct{}

	mu     sync.Mutex
	asked  time.Time // by a standby, for the last time
	proven link      // the connection over which the holder can be asked
}

func newPresence(nc *nats.Conn, id string, epoch uint64) *presence {
	return &presence{nc: nc, id: id, subject: presenceSubject(epoch), news: make(chan struct{}, 1)}
}

func presenceSubject(epoch uint64) string {
	return roles.SubjectPresence + "." + strconv.FormatUint(epoch, 10)
}

// run answers until ctx ends.
func (p *presence) run(ctx context.Context) {
	connected := p.nc.StatusChanged(nats.CONNECTED)
	defer p.nc.RemoveStatusListener(connected)
	sub, err := p.nc.Subscribe(p.subject, p.answer)
	if err != nil {
		return // the connection was closed
	}
	defer func() { _ = sub.Unsubscribe() }()
	for wait := proveWithin; ; {
		again := time.NewTimer(proveAtLast)
		if !p.prove(ctx) {
			again.Reset(wait)
			wait = min(2*wait, proveAtLast)
		}
		select {
		case <-again.C:
		case <-connected:
			wait = proveWithin
			p.tell() // the lease is held again once it is renewed over this connection
		case <-ctx.Done():
			again.Stop()
			return
		}
		again.Stop()
	}
}

func (p *presence) answer(m *nats.Msg) {
	_ = m.Respond(nil) // whoever asked asks again
	if string(m.Data) == p.id {
		return
	}
	p.mu.Lock()
	first := time.Since(p.asked) > awaitedFor
	p.asked = time.Now()
	p.mu.Unlock()
	if first {
		p.tell()
	}
}

// prove reports whether the holder can be asked over the connection of now. Where its user
// may not hear the subject, nobody is there from the begin.
func (p *presence) prove(ctx context.Context) bool {
	over := linkOf(p.nc)
	p.mu.Lock()
	known := over == p.proven
	p.mu.Unlock()
	if known {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, proveWithin)
	defer cancel()
	if _, err := p.nc.RequestWithContext(ctx, p.subject, []byte(p.id)); err != nil {
		return false
	}
	p.mu.Lock()
	p.proven = over
	p.mu.Unlock()
	p.tell()
	return true
}

func (p *presence) tell() {
	select {
	case p.news <- struct{}{}:
	default:
	}
}

// server is the id of the server through which the holder can be asked over a connection;
// empty: it cannot.
func (p *presence) server(over link) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if over != p.proven {
		return ""
	}
	return over.server
}

// awaited reports whether a standby waits for the lease.
func (p *presence) awaited() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Since(p.asked) <= awaitedFor
}

// await waits until it is time to look at the lease again, and meanwhile asks its holder
// whether it is there.
func (e *Elector) await(ctx context.Context, seen *observedLease, wait time.Duration, wake <-chan struct{}) {
	timer := time.NewTimer(min(wait, LeaseRenew))
	defer timer.Stop()
	ask := time.NewTicker(askEvery)
	defer ask.Stop()
	for {
		select {
		case <-timer.C:
			return
		case <-wake:
			return
		case <-ctx.Done():
			return
		case <-ask.C:
			if e.left(ctx, *seen) {
				seen.left = true
				return
			}
		}
	}
}

// left reports whether the connection over which the lease was renewed last has ended. The
// server that had it knows; another one of a cluster may have lost sight of it alone.
//
// The holder of a revision that was read before cannot hold it any more then: over a new
// connection it has to renew the lease first, and by compare-and-swap either that or a
// takeover at this revision fails.
func (e *Elector) left(ctx context.Context, seen observedLease) bool {
	if !seen.present || seen.foreign || seen.lease.Server == "" {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, askEvery)
	defer cancel()
	nc := e.js.Conn()
	over := linkOf(nc)
	_, err := nc.RequestWithContext(ctx, presenceSubject(seen.lease.Epoch), []byte(e.opts.ID))
	return errors.Is(err, nats.ErrNoResponders) && over.server == seen.lease.Server && over == linkOf(nc)
}
