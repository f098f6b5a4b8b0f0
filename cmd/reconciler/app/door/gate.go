package door

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// Errors of a gate. [Deny] makes an answer of them.
var (
	// ErrClientFull means that the client has taken its part of the places.
	ErrClientFull = errors.New("all places of one client are taken")
	// ErrFull means that all clients together have taken all places.
	ErrFull = errors.New("all places are taken")
)

// retryAfter is when a client that was denied may find a place.
const retryAfter = 5 * time.Second

// Gate is a number of places, of which one client gets a part only. Its methods may
// be called from any goroutine.
type Gate struct {
	what      string
	all, each int

	mu    sync.Mutex
	taken int
	by    map[string]int
}

// NewGate makes a gate with so many places in all and for each client. what names
// what a place is for, in the plural.
func NewGate(what string, all, each int) *Gate {
	return &Gate{what: what, all: all, each: each, by: map[string]int{}}
}

// Enter takes a place, which leave gives back. It fails with [ErrClientFull] or
// [ErrFull].
func (g *Gate) Enter(client string) (leave func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.by[client] >= g.each:
		return nil, fmt.Errorf("%w: %d %s are open from this address already, and no more than %d may be; close one", ErrClientFull, g.by[client], g.what, g.each)
	case g.taken >= g.all:
		return nil, fmt.Errorf("%w: %d %s are open already, and no more than %d may be; try again later", ErrFull, g.taken, g.what, g.all)
	}
	g.taken++
	g.by[client]++
	return sync.OnceFunc(func() { g.leave(client) }), nil
}

func (g *Gate) leave(client string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.taken--
	if g.by[client]--; g.by[client] == 0 {
		delete(g.by, client)
	}
}

// Deny answers whoever found no place: 429 where the client has too many, 503 where
// all have.
func Deny(w http.ResponseWriter, err error) {
	code := http.StatusServiceUnavailable
	if errors.Is(err, ErrClientFull) {
		code = http.StatusTooManyRequests
	}
	w.Header().Set("Retry-After", strconv.Itoa(int(retryAfter.Seconds())))
	http.Error(w, err.Error(), code)
}

// Client is whose request it is: the address that it comes from. All of loopback is
// one client, and so is an IPv6 network of 64 bits, in which one host may have any
// address.
func Client(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	ip, err := netip.ParseAddr(host)
	switch ip = ip.Unmap(); {
	case err != nil:
		return host
	case ip.IsLoopback():
		return "loopback"
	case ip.Is6():
		network, _ := ip.WithZone("").Prefix(64) // 64 bits fit into every address
		return network.String()
	}
	return ip.String()
}
