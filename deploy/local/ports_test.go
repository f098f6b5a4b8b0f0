package local

import (
	"net"
	"strconv"
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
