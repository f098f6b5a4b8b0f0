package local

import (
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
)

func listen(t *testing.T, port int) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", ":"+strconv.Itoa(port))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestFreePortsAreGivenOnce(t *testing.T) {
	seen := map[int]bool{}
	for range 5 {
		ports, err := FreePorts(3)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range ports {
			if seen[p] {
				t.Fatalf("port %d given twice", p)
			}
			seen[p] = true
			if err := listen(t, p).Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestCheckPortNamesTheWayOut(t *testing.T) {
	ports, err := FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	if err := CheckPort(ports[0], "FRONTEND_PORT"); err != nil {
		t.Errorf("a free port: %v", err)
	}
	l := listen(t, ports[0])
	defer l.Close()
	if err := CheckPort(ports[0], "FRONTEND_PORT"); !errors.Is(err, ErrPortTaken) || !strings.Contains(err.Error(), "FRONTEND_PORT=") {
		t.Errorf("a port that is taken: %v", err)
	}
}
