package door

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start serves h behind the door, with what change makes of the server.
func start(t *testing.T, l net.Listener, h http.HandlerFunc, change func(*http.Server)) {
	t.Helper()
	s := Server(t.Context(), Hosts{}, nil, h)
	if change != nil {
		change(s)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve: %v", err)
		}
	}()
	t.Cleanup(func() {
		_ = s.Close() // connections are cut off
		<-ended
	})
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func dial(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// receive reads one answer.
func receive(t *testing.T, c net.Conn) (*http.Response, string) {
	t.Helper()
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

// gone waits until the server has ended the connection.
func gone(t *testing.T, c net.Conn, limit time.Duration) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, c); errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
		t.Fatalf("the connection is open after %s", limit)
	}
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

func hello(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello") }

const ask = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"

// pipes is a listener in memory, so that a bubble of synctest has the clock.
type pipes struct {
	next   chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{next: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.next:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

func TestConnectionsEndInTime(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       time.Duration
		answers    bool
	}{
		{"nothing was ever sent", "", HeaderTimeout, false},
		{"half a header", "GET / HTTP/1.1\r\nHost: loc", HeaderTimeout, false},
		{"idle between two requests", strings.Replace(ask, "/", open, 1), IdleTimeout, true}, // a pipe is no loopback
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPipes()
				start(t, p, hello, nil)
				client, server := net.Pipe()
				p.next <- server
				send(t, client, tc.text)
				begin := time.Now()
				answer, err := io.ReadAll(client) // until it is ended
				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(begin).Round(time.Second); took != tc.want {
					t.Errorf("ended after %s, want %s", took, tc.want)
				}
				if strings.Contains(string(answer), "hello") != tc.answers {
					t.Errorf("answer %q", answer)
				}
				_ = client.Close()
			})
		})
	}
}

// A client that sends a byte now and then does not prolong the time of a header.
func TestSlowHeaderOnASocket(t *testing.T) {
	l := listen(t)
	start(t, l, hello, func(s *http.Server) { s.ReadHeaderTimeout = 300 * time.Millisecond })
	c := dial(t, l)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, b := range []byte("GET / HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", 1000)) {
			if _, err := c.Write([]byte{b}); err != nil {
				return
			}
			<-time.After(20 * time.Millisecond)
		}
	}()
	gone(t, c, 5*time.Second)
	_ = c.Close()
	<-done
}

func TestSlowBodyOnASocket(t *testing.T) {
	l := listen(t)
	start(t, l, hello, nil)
	for name, header := range map[string]string{"of a length": "Content-Length: 100000", "in chunks": "Transfer-Encoding: chunked"} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, l)
			send(t, c, "POST / HTTP/1.1\r\nHost: localhost\r\n"+header+"\r\n\r\n5\r\nxx")
			answer, text := receive(t, c)
			if answer.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(text, "send none") {
				t.Errorf("%d %s", answer.StatusCode, text)
			}
			gone(t, c, 5*time.Second)
		})
	}
}

// Whoever asks for much and reads nothing is cut off.
func TestSlowReaderOnASocket(t *testing.T) {
	l := listen(t)
	failed := make(chan error, 1)
	start(t, l, func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				failed <- err
				return
			}
		}
	}, func(s *http.Server) { s.WriteTimeout = 300 * time.Millisecond })
	send(t, dial(t, l), ask)
	select {
	case err := <-failed:
		if !isTimeout(err) {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it is still being written to")
	}
}

func TestLargeHeader(t *testing.T) {
	l := listen(t)
	start(t, l, hello, nil)
	for size, want := range map[int]int{MaxHeaderBytes - 200: 200, MaxHeaderBytes: 431} {
		c := dial(t, l)
		send(t, c, "GET / HTTP/1.1\r\nHost: localhost\r\nX: "+strings.Repeat("x", size)+"\r\n\r\n")
		if answer, _ := receive(t, c); answer.StatusCode != want {
			t.Errorf("%d bytes: %d, want %d", size, answer.StatusCode, want)
		}
	}
}

// Thousands of connections on which nobody asks anything shut nobody out, and cut
// off nobody who is being answered.
func TestThreeThousandIdleConnections(t *testing.T) {
	l := newConns(listen(t), MaxConns)
	begun, release := make(chan struct{}), make(chan struct{})
	start(t, l, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/long" {
			close(begun)
			<-release
		}
		hello(w, r)
	}, nil)
	long := dial(t, l)
	send(t, long, strings.Replace(ask, "/", "/long", 1))
	<-begun
	for i := range 3000 {
		c := dial(t, l)
		if i%3 == 0 {
			send(t, c, "GET / HTTP/1.1\r\nHo")
		}
		if i%500 == 0 {
			whole := dial(t, l)
			send(t, whole, ask)
			if answer, text := receive(t, whole); answer.StatusCode != http.StatusOK || text != "hello\n" {
				t.Fatalf("beside %d connections: %d %q", i, answer.StatusCode, text)
			}
		}
	}
	last := dial(t, l)
	send(t, last, ask)
	if answer, text := receive(t, last); answer.StatusCode != http.StatusOK || text != "hello\n" {
		t.Errorf("beside 3000 connections: %d %q", answer.StatusCode, text)
	}
	l.mu.Lock()
	if n := len(l.open); n > MaxConns {
		t.Errorf("%d connections are open, want at most %d", n, MaxConns)
	}
	l.mu.Unlock()
	close(release)
	if answer, text := receive(t, long); answer.StatusCode != http.StatusOK || text != "hello\n" {
		t.Errorf("the one that was being answered: %d %q", answer.StatusCode, text)
	}
}

func TestEveryConnectionIsBusy(t *testing.T) {
	l := newConns(listen(t), 2)
	begun, release := make(chan struct{}), make(chan struct{})
	start(t, l, func(w http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		<-release
		hello(w, r)
	}, nil)
	var busy []net.Conn
	for range 2 {
		c := dial(t, l)
		send(t, c, ask)
		<-begun
		busy = append(busy, c)
	}
	more := dial(t, l)
	if answer, text := receive(t, more); answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" || !strings.Contains(text, "try again") {
		t.Errorf("one more: %d %v %q", answer.StatusCode, answer.Header, text)
	}
	close(release)
	for _, c := range busy {
		if answer, _ := receive(t, c); answer.StatusCode != http.StatusOK {
			t.Errorf("one that was busy: %d", answer.StatusCode)
		}
	}
	go func() {
		for range begun {
		}
	}()
	again := dial(t, l)
	send(t, again, ask)
	if answer, _ := receive(t, again); answer.StatusCode != http.StatusOK {
		t.Errorf("after they had ended: %d", answer.StatusCode)
	}
	close(begun)
}

func TestOneClientHasItsPartOfTheRequests(t *testing.T) {
	l := listen(t)
	begun, release := make(chan struct{}), make(chan struct{})
	start(t, Listener(l, nil), func(w http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		<-release
		hello(w, r)
	}, nil)
	for i := range MaxRequests {
		send(t, dial(t, l), strings.Replace(ask, "\r\n\r\n", fmt.Sprintf("\r\nX-Forwarded-For: 192.0.2.%d\r\nForwarded: for=192.0.2.%d\r\n\r\n", i, i), 1))
		<-begun
	}
	c := dial(t, l)
	send(t, c, strings.Replace(ask, "\r\n\r\n", "\r\nX-Forwarded-For: 198.51.100.1\r\nX-Real-IP: 198.51.100.1\r\n\r\n", 1))
	answer, text := receive(t, c)
	if answer.StatusCode != http.StatusTooManyRequests || answer.Header.Get("Retry-After") != "5" || !strings.Contains(text, fmt.Sprint(MaxRequests)) {
		t.Errorf("one more: %d %v %s", answer.StatusCode, answer.Header, text)
	}
	close(release)
}

func TestGuard(t *testing.T) {
	hosts, err := ParseHosts("127.0.0.1:9600", []string{"ops.example"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, host, header string
		want               int
		text               string
	}{
		{"loopback", "127.0.0.1:9600", "", 200, "hello"},
		{"a name that was allowed", "OPS.example:80", "", 200, "hello"},
		{"a foreign name", "attacker.example:9600", "", 421, "--http-allowed-hosts"},
		{"a foreign name that a proxy vouches for", "attacker.example", "X-Forwarded-Host: localhost", 421, "attacker.example"},
		{"a link from elsewhere", "localhost", "Sec-Fetch-Site: cross-site; Sec-Fetch-Mode: navigate", 200, "hello"},
		{"a script elsewhere", "localhost", "Sec-Fetch-Site: cross-site; Sec-Fetch-Mode: no-cors", 403, "another site"},
		{"our own script", "localhost", "Sec-Fetch-Site: same-origin; Sec-Fetch-Mode: cors", 200, "hello"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
			r.Host, r.RemoteAddr = tc.host, "127.0.0.1:1"
			for one := range strings.SplitSeq(tc.header, "; ") {
				if name, value, ok := strings.Cut(one, ": "); ok {
					r.Header.Set(name, value)
				}
			}
			w := httptest.NewRecorder()
			guard(hosts, nil, NewGate("requests", 1, 1), http.HandlerFunc(hello)).ServeHTTP(w, r)
			if w.Code != tc.want || !strings.Contains(w.Body.String(), tc.text) {
				t.Errorf("%d %s, want %d with %q", w.Code, w.Body, tc.want, tc.text)
			}
			for name, want := range map[string]string{
				"Content-Security-Policy": "frame-ancestors 'none'", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
			} {
				if got := w.Header().Get(name); !strings.Contains(got, want) {
					t.Errorf("%s: %q, want %q in it", name, got, want)
				}
			}
		})
	}
}
