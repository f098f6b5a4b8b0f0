package door

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestHosts(t *testing.T) {
	reached := &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 9600}
	for _, tc := range []struct {
		listen  string
		allowed []string
		yes, no []string
	}{
		{"127.0.0.1:9600", nil,
			[]string{"", "localhost", "localhost:9600", "LOCALHOST.", "a.localhost:1", "127.0.0.1", "127.9.9.9:80", "[::1]:9600", "::1", "[::ffff:127.0.0.1]:9600", "10.1.2.3:9600", "[::ffff:10.1.2.3]"},
			[]string{"attacker.example", "localhost.attacker.example", "127.0.0.1.nip.io:9600", "10.1.2.4", "0.0.0.0:9600", "[::]:9600", "notlocalhost", "localhost@attacker.example", "127.1", "[2001:db8::1]", "attacker.example:80:80", " localhost"}},
		{"0.0.0.0:9600", nil, []string{"localhost", "10.1.2.3"}, []string{"0.0.0.0", "node-1", "10.1.2.4"}},
		{":9600", nil, []string{"localhost"}, []string{"node-1"}},
		{"node-1:9600", nil, []string{"node-1", "Node-1:80", "node-1."}, []string{"node-2", "x.node-1"}},
		{"[2001:DB8::1]:9600", nil, []string{"[2001:db8:0::1]:9600"}, []string{"[2001:db8::2]"}},
		{"127.0.0.1:9600", []string{"ops.example", "*.lab.example", "203.0.113.7", "2001:db8::5"},
			[]string{"ops.example:443", "OPS.EXAMPLE.", "a.lab.example", "a.b.lab.example", "203.0.113.7", "[2001:db8::5]:9600"},
			[]string{"x.ops.example", "lab.example", "evillab.example", "203.0.113.8"}},
	} {
		h, err := ParseHosts(tc.listen, tc.allowed)
		if err != nil {
			t.Fatal(err)
		}
		for _, host := range tc.yes {
			if !h.Allow(host, reached) {
				t.Errorf("%s %q: %q is refused", tc.listen, tc.allowed, host)
			}
		}
		for _, host := range tc.no {
			if h.Allow(host, reached) {
				t.Errorf("%s %q: %q is allowed", tc.listen, tc.allowed, host)
			}
		}
	}
}

func TestHostsThatCannotBeMeant(t *testing.T) {
	for _, name := range []string{"", "*", "*.", "http://ops.example", "ops.example:443", "ops.example/", "a*b", "*.*.example", "a b", "."} {
		if _, err := ParseHosts("127.0.0.1:9600", []string{name}); err == nil {
			t.Errorf("%q is taken", name)
		}
	}
}

func TestClient(t *testing.T) {
	for remote, want := range map[string]string{
		"127.0.0.1:1": "loopback", "127.0.0.2:1": "loopback", "[::1]:1": "loopback", "[::ffff:127.0.0.1]:1": "loopback",
		"192.0.2.1:1": "192.0.2.1", "[::ffff:192.0.2.1]:2": "192.0.2.1",
		"[2001:db8::1]:1": "2001:db8::/64", "[2001:db8::ffff:1%eth0]:1": "2001:db8::/64", "[2001:db8:0:1::1]:1": "2001:db8:0:1::/64",
		"@": "@",
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		r.RemoteAddr = remote
		r.Header.Set("X-Forwarded-For", "203.0.113.9")
		if got := Client(r); got != want {
			t.Errorf("%s: %q, want %q", remote, got, want)
		}
	}
}

func TestGate(t *testing.T) {
	g := NewGate("things", 3, 2)
	enter := func(client string, want error) func() {
		t.Helper()
		leave, err := g.Enter(client)
		if !errors.Is(err, want) {
			t.Fatalf("%s: %v, want %v", client, err, want)
		}
		return leave
	}
	enter("a", nil)
	leave := enter("a", nil)
	enter("a", ErrClientFull)
	enter("b", nil)
	enter("c", ErrFull)
	leave()
	leave() // once is enough
	enter("c", nil)
	enter("a", ErrFull)
	for err, want := range map[error]int{ErrClientFull: http.StatusTooManyRequests, ErrFull: http.StatusServiceUnavailable} {
		w := httptest.NewRecorder()
		Deny(w, err)
		if w.Code != want || w.Header().Get("Retry-After") == "" {
			t.Errorf("%v: %d %v", err, w.Code, w.Header())
		}
	}
}
