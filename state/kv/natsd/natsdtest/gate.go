package natsdtest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"
)

// askTime is what a client of a proxy has to say where it wants to go.
const askTime = 5 * time.Second

// Gate is a TCP proxy in front of a server. It can stop passing anything on, as a dead
// machine does, and end what passes.
type Gate struct {
	listener net.Listener
	target   string       // host:port; empty: what each client asks for by CONNECT
	passing  sync.RWMutex // held for writing while nothing passes
	shut     bool         // of the goroutine alone that uses the gate
	wg       sync.WaitGroup

	mu      sync.Mutex
	conns   map[net.Conn]bool
	refuses bool
	delay   time.Duration
	lost    float64
	resent  time.Duration
}

// NewGate makes one in front of the server at a URL, until the test ends.
func NewGate(t testing.TB, server string) *Gate {
	t.Helper()
	g, err := OpenGate(server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

// OpenGate makes one in front of the server at a URL, until Close.
func OpenGate(server string) (*Gate, error) {
	u, err := url.Parse(server)
	if err != nil {
		return nil, err
	}
	return openGate(u.Host)
}

// OpenProxy makes one that leads wherever its clients ask for by HTTP's CONNECT, until Close.
func OpenProxy() (*Gate, error) { return openGate("") }

func openGate(target string) (*Gate, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	g := &Gate{listener: l, target: target, conns: map[net.Conn]bool{}}
	g.wg.Go(g.accept)
	return g, nil
}

// Close ends the gate and all that passes it.
func (g *Gate) Close() {
	g.Open()
	_ = g.listener.Close()
	g.Cut()
	g.wg.Wait()
}

// Addr is the host:port to dial instead of the server.
func (g *Gate) Addr() string { return g.listener.Addr().String() }

// URL is what to dial instead of the server.
func (g *Gate) URL() string { return "nats://" + g.Addr() }

func (g *Gate) accept() {
	for {
		in, err := g.listener.Accept()
		if err != nil {
			return
		}
		g.wg.Go(func() {
			if err := g.connect(in); err != nil {
				_ = in.Close()
			}
		})
	}
}

var errRefused = errors.New("the gate lets nobody in")

// connect leads a client on; with an error it is none of the gate's.
func (g *Gate) connect(in net.Conn) error {
	target, from := g.target, io.Reader(in)
	if target == "" {
		asked := bufio.NewReader(in)
		_ = in.SetReadDeadline(time.Now().Add(askTime)) // it fails where reading does
		req, err := http.ReadRequest(asked)
		if err != nil {
			return err
		}
		_ = in.SetReadDeadline(time.Time{})
		target, from = req.Host, asked
	}
	out, err := net.Dial("tcp", target)
	if err != nil {
		return err
	}
	if !g.admit(in, out) {
		return errRefused
	}
	if g.target == "" {
		if _, err := fmt.Fprint(in, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
			return errors.Join(err, out.Close())
		}
	}
	g.wg.Go(func() { g.pass(out, from) })
	g.wg.Go(func() { g.pass(in, out) })
	return nil
}

func (g *Gate) admit(in, out net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.refuses {
		_ = out.Close()
		return false
	}
	g.conns[in], g.conns[out] = true, true
	return true
}

// piece is what was read at once, and when it is to arrive.
type piece struct {
	data []byte
	due  time.Time
}

// underWay is how many pieces of one way may be under way.
const underWay = 64

// pass leads one way on. What follows is read while what went before is under way, as on a long
// line.
func (g *Gate) pass(to net.Conn, from io.Reader) {
	line := make(chan piece, underWay)
	g.wg.Go(func() { g.arrive(to, line) })
	defer close(line)
	for {
		buf := make([]byte, 32<<10)
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		line <- piece{buf[:n], time.Now().Add(g.delayed())}
	}
}

// arrive writes what is under way, each piece in its turn, until the line ends.
func (g *Gate) arrive(to net.Conn, line <-chan piece) {
	defer func() {
		_ = to.Close()
		g.mu.Lock()
		delete(g.conns, to)
		g.mu.Unlock()
	}()
	var err error
	for p := range line {
		if err != nil {
			continue // whoever sends finds out by the other way
		}
		time.Sleep(time.Until(p.due))
		g.passing.RLock()
		_, err = to.Write(p.data)
		g.passing.RUnlock()
		if err != nil {
			_ = to.Close()
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

// Passing reports whether anybody is connected through the gate.
func (g *Gate) Passing() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.conns) > 0
}

// Cut ends the connections of now.
func (g *Gate) Cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.conns {
		_ = c.Close()
	}
	clear(g.conns)
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
