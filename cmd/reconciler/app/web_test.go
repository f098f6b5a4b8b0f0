package app

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"dynctl/cmd/reconciler/app/door"
)

func TestWebAnswersBeforeTheProgramIsComplete(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := &App{cfg: Config{NATSURL: "nats://u:secret@127.0.0.1:1"}}
	w := serve(t.Context(), l, doors{}, a.waiting)
	ask := func(path string) (int, string) {
		resp, err := http.Get("http://" + l.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	if code, text := ask("/readyz"); code != 503 || !strings.Contains(text, "127.0.0.1:1; start it, or correct --nats-url") || strings.Contains(text, "secret") {
		t.Errorf("/readyz: %d %s", code, text)
	}
	if code, _ := ask("/healthz"); code != 200 {
		t.Errorf("/healthz: %d", code)
	}
	w.become(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "complete") }))
	if code, text := ask("/readyz"); code != 200 || text != "complete" {
		t.Errorf("/readyz: %d %s", code, text)
	}
	for range 2 {
		if err := w.close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
}

// A page elsewhere whose name was made to point here reads nothing, whichever part
// of the program answers.
func TestAForeignHostIsRefused(t *testing.T) {
	cfg, err := ParseFlags([]string{"--http", "127.0.0.1:0", "--http-allowed-hosts", "ops.example, *.lab.example"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	hosts, err := door.ParseHosts(cfg.HTTP, cfg.HTTPAllowedHosts)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", cfg.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	a := &App{cfg: cfg}
	w := serve(t.Context(), l, doors{hosts: hosts}, a.waiting)
	defer func() { _ = w.close() }()
	for host, want := range map[string]int{
		"": 200, "localhost": 200, "ops.example:443": 200, "a.lab.example": 200,
		"attacker.example": 421, "localhost.attacker.example:9600": 421,
	} {
		for _, path := range []string{"/healthz", "/logs/default/infra/x"} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.Addr().String()+path, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			r.Host = host
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			if err := resp.Body.Close(); err != nil {
				t.Fatal(err)
			}
			if refused := resp.StatusCode == http.StatusMisdirectedRequest; refused != (want == 421) {
				t.Errorf("host %q, %s: %d, want %d", host, path, resp.StatusCode, want)
			}
		}
	}
	for _, bad := range []string{"http://ops.example", "ops.example:443", "*", "ops.example,"} {
		if _, err := ParseFlags([]string{"--http-allowed-hosts", bad}, io.Discard); !errors.Is(err, ErrUsage) {
			t.Errorf("--http-allowed-hosts %q: %v", bad, err)
		}
	}
}

// One client reads so many logs at once, and leaves room for others.
func TestLogsAreReadByOneClientInPart(t *testing.T) {
	a := &App{logs: newLogGate()}
	for range maxLogsEach {
		if _, err := a.logs.Enter("192.0.2.1"); err != nil {
			t.Fatal(err)
		}
	}
	w := httptest.NewRecorder()
	a.serveLog(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/logs/s/u/a", http.NoBody)) // it comes from 192.0.2.1
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
		t.Errorf("one more: %d %v %s", w.Code, w.Header(), w.Body)
	}
	if _, err := a.logs.Enter("192.0.2.2"); err != nil {
		t.Errorf("another client: %v", err)
	}
}
