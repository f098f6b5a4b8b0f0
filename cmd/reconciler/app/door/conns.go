package door

import (
	"context"
	"net"
	"sync"
	"time"
)

// full is what a connection reads that finds all others busy.
const full = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nRetry-After: 5\r\nConnection: close\r\n\r\n" +
	"too many requests are being answered: try again in some seconds\n"

// conns is a listener with at most so many connections. One too many ends the one
// that waits longest, so that whoever holds connections without asking anything
// shuts nobody out; where all are busy it is itself refused.
type conns struct {
	net.Listener
	limit int

	mu   sync.Mutex
	open map[*conn]bool
}

// conn is a connection of conns. Its fields but owner belong to owner.mu.
type conn struct {
	net.Conn
	owner *conns
	busy  bool
	since time.Time // it waits
}

func newConns(l net.Listener, limit int) *conns {
	return &conns{Listener: l, limit: limit, open: map[*conn]bool{}}
}

// Accept waits for the next connection that can be served.
func (c *conns) Accept() (net.Conn, error) {
	for {
		inner, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if next, evicted := c.admit(inner); next != nil {
			if evicted != nil {
				_ = evicted.Close() // nobody is answered on it
			}
			return next, nil
		}
		// An empty send buffer holds so few bytes: this waits for nobody.
		_ = inner.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = inner.Write([]byte(full))
		_ = inner.Close()
	}
}

// admit registers a connection, and returns the one that has to go for it.
func (c *conns) admit(inner net.Conn) (next, evicted *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.open) >= c.limit {
		for o := range c.open {
			if !o.busy && (evicted == nil || o.since.Before(evicted.since)) {
				evicted = o
			}
		}
		if evicted == nil {
			return nil, nil
		}
		delete(c.open, evicted)
	}
	next = &conn{Conn: inner, owner: c, since: time.Now()}
	c.open[next] = true
	return next, evicted
}

// Close ends the connection and gives its place back.
func (c *conn) Close() error {
	c.owner.mu.Lock()
	delete(c.owner.open, c)
	c.owner.mu.Unlock()
	return c.Conn.Close()
}

// answering marks the connection as busy until done is called.
func (c *conn) answering() (done func()) {
	c.set(true)
	return func() { c.set(false) }
}

func (c *conn) set(busy bool) {
	c.owner.mu.Lock()
	defer c.owner.mu.Unlock()
	c.busy, c.since = busy, time.Now()
}

type connKey struct{}

// connOf is the connection of a request.
func connOf(ctx context.Context) (*conn, bool) {
	c, ok := ctx.Value(connKey{}).(*conn)
	return c, ok
}
