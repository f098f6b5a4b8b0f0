package local

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
)

// ErrPortTaken means that a port that a stack was told to use is not free.
var ErrPortTaken = errors.New("port is taken")

// Ports are the TCP ports of a stack; all but the frontend's, which is in the
// Server spec.
type Ports struct {
	Ray       int // Ray's GCS
	Dashboard int // Ray's dashboard: Jobs and State API
	Client    int // Ray's client server, which cannot be switched off
	NATS      int // the reconciler's embedded NATS
	HTTP      int // the reconciler's health, metrics and ops page
}

// DefaultPorts are those that the programs use by default. Client is 0: any.
var DefaultPorts = Ports{Ray: 6379, Dashboard: 8265, NATS: 4322, HTTP: 9600}

// Ports are looked for below the range that the kernel hands out to outgoing
// connections, away from Ray's own 10002 to 19999.
const (
	firstFreePort = 23000
	lastFreePort  = 28999
)

// handedOut keeps a port from being given twice before its owner listens on it.
var handedOut = struct {
	sync.Mutex
	ports map[int]bool
}{ports: map[int]bool{}}

// FreePorts finds n free TCP ports, none of which it has returned before. Two
// programs that ask at the same time begin at different places.
func FreePorts(n int) ([]int, error) {
	span := lastFreePort - firstFreePort + 1
	offset := os.Getpid() * 37 % span
	handedOut.Lock()
	defer handedOut.Unlock()
	var out []int
	for i := 0; i < span && len(out) < n; i++ {
		port := firstFreePort + (offset+i)%span
		if !handedOut.ports[port] && portFree(port) {
			handedOut.ports[port] = true
			out = append(out, port)
		}
	}
	if len(out) < n {
		return nil, fmt.Errorf("%w: fewer than %d ports free in %d to %d", ErrPortTaken, n, firstFreePort, lastFreePort)
	}
	return out, nil
}

func portFree(port int) bool {
	l, err := net.Listen("tcp", ":"+strconv.Itoa(port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// check refuses ports that are taken, naming the make variable to change.
func (p Ports) check() error {
	var errs []error
	for _, x := range []struct {
		port int
		name string
	}{{p.Ray, "RAY_PORT"}, {p.Dashboard, "DASHBOARD_PORT"}, {p.NATS, "NATS_PORT"}, {p.HTTP, "HTTP_PORT"}} {
		errs = append(errs, CheckPort(x.port, x.name))
	}
	return errors.Join(errs...)
}

// CheckPort refuses a port that is taken, naming the make variable to change.
func CheckPort(port int, variable string) error {
	if portFree(port) {
		return nil
	}
	return fmt.Errorf("%w: %d; choose another with %s=PORT", ErrPortTaken, port, variable)
}
