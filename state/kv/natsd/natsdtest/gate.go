package natsdtest

import (
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"
)

// Gate is a TCP proxy in front of a server, until the test ends. It can stop passing
// anything on, as a dead machine does, and end what passes.
type Gate struct {
	listener net.Listener
	target   string
	passing  sync.RWMutex // held for writing while nothing passes
	shut     bool         // of the test's goroutine alone
	wg       sync.WaitGroup

	mu      sync.Mutex
	conns   []net.Conn
	refuses bool
	delay   time.Duration
	lost    float64
	resent  time.Duration
}

// NewGate makes one in front of the server at a URL.
func NewGate(t testing.TB, server string) *Gate {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &Gate{listener: l, target: u.Host}
	g.wg.Go(g.accept)
	t.Cleanup(func() {
		g.Open()
		_ = l.Close()
		g.Cut()
		g.wg.Wait()
	})
	return g
}

// URL is what to dial instead of the server.
func (g *Gate) URL() string { return "nats://" + g.listener.Addr().String() }

func (g *Gate) accept() {
	for {
		in, err := g.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", g.target)
		if err != nil || !g.admit(in, out) {
			_ = in.Close()
			continue
		}
		g.wg.Go(func() { g.pass(out, in) })
		g.wg.Go(func() { g.pass(in, out) })
	}
}

func (g *Gate) admit(in, out net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.refuses {
		_ = out.Close()
		return false
	}
	g.conns = append(g.conns, in, out)
	return true
}

func (g *Gate) pass(to io.WriteCloser, from io.Reader) {
	defer to.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		time.Sleep(g.delayed())
		g.passing.RLock()
		_, err = to.Write(buf[:n])
		g.passing.RUnlock()
		if err != nil {
			return
		}
	}
}

// Delay has what passes take so much longer, each way.
func (g *Gate) Delay(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.delay = d
}

// Lose has a part of what passes, from 0 to 1, come so much later, as TCP has what a network
// loses: it sends that again.
func (g *Gate) Lose(part float64, resent time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lost, g.resent = part, resent
}

func (g *Gate) delayed() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if rand.Float64() < g.lost {
		return g.delay + g.resent
	}
	return g.delay
}

// Shut has nothing pass; the connections stay.
func (g *Gate) Shut() {
	g.passing.Lock()
	g.shut = true
}

// Open undoes Shut and Refuse.
func (g *Gate) Open() {
	g.refuse(false)
	if g.shut {
		g.shut = false
		g.passing.Unlock()
	}
}

// Cut ends the connections of now.
func (g *Gate) Cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.conns {
		_ = c.Close()
	}
	g.conns = nil
}

// Refuse is Cut, and ends every other connection at once until Open.
func (g *Gate) Refuse() {
	g.refuse(true)
	g.Cut()
}

func (g *Gate) refuse(yes bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refuses = yes
}
