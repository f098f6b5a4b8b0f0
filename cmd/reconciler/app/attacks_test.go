package app

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// attackers are those who ask over HTTP, by where they come from and what they send.
var attackers = []struct {
	name, from, host string
	header           [2]string
}{
	{name: "this machine", from: "127.0.0.1:1"},
	{name: "nobody", from: "192.0.2.1:1"},
	{name: "vouched for", from: "192.0.2.1:1", header: [2]string{"X-Forwarded-For", "127.0.0.1"}},
	{name: "wrong token", from: "192.0.2.1:1", header: [2]string{"Authorization", "Bearer 00000000000000000000000000000000"}},
	{name: "viewer", from: "192.0.2.1:1", header: [2]string{"Authorization", "Bearer viewer-6789012345678901234567890"}},
	{name: "viewer-logs", from: "192.0.2.1:1", header: [2]string{"Authorization", "Bearer logs---6789012345678901234567890"}},
	{name: "admin", from: "192.0.2.1:1", header: [2]string{"Authorization", "Bearer admin--6789012345678901234567890"}},
	{name: "rebinding", from: "127.0.0.1:1", host: "attacker.example"},
	{name: "other site", from: "127.0.0.1:1", header: [2]string{"Sec-Fetch-Site", "cross-site"}},
}

const attackTokens = "viewer-6789012345678901234567890\nviewer-logs logs---6789012345678901234567890\nadmin admin--6789012345678901234567890\n"

var attackedPaths = []string{
	"GET /healthz", "GET /healthz?ready", "GET /readyz", "GET /readyz?verbose", "GET /metrics", "GET /sd", "GET /", "GET /events", "GET /assets/ops.js", "GET /favicon.ico",
	"GET /logs/default/infra/x", "GET /nothing", "GET /healthz/", "GET //healthz", "GET /healthz/../metrics", "GET /%68ealthz", "GET /HEALTHZ", "POST /", "DELETE /logs/default/infra/x", "HEAD /metrics", "OPTIONS *",
}

// TestAttacksOverHTTP asks for every path as everybody: testdata/http_attacks.txt says
// what each is answered with, with and without a file of tokens.
func TestAttacksOverHTTP(t *testing.T) {
	var b strings.Builder
	for _, text := range []string{attackTokens, ""} {
		file := ""
		fmt.Fprintln(&b, "without a file of tokens")
		if text != "" {
			b.Reset()
			fmt.Fprintln(&b, "with a file of tokens")
			file = filepath.Join(t.TempDir(), "tokens")
			writeFile(t, file, text)
		}
		b.WriteString(attackedBy(t, file))
	}
	const path = "testdata/http_attacks.txt"
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), b.String()); d != "" {
		t.Errorf("%s (go test ./cmd/reconciler/app -run %s -update):\n%s", path, t.Name(), d)
	}
}

// attackedBy starts a reconciler and is the table of its answers.
func attackedBy(t *testing.T, tokens string) string {
	t.Helper()
	cfg := Config{DataDir: t.TempDir(), Listen: "127.0.0.1:-1", HTTP: "127.0.0.1:0", RayAddress: "http://127.0.0.1:1", RayNamespace: "ns", ID: "attacked", LogFormat: "text", HTTPTokenFile: tokens}
	a, err := New(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := a.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	answers := func(path string, who int) int { return answerTo(t, a, path, who) }
	for answers("GET /metrics", 0) != http.StatusOK { // until it is complete
		time.Sleep(5 * time.Millisecond)
	}
	var b strings.Builder
	for _, path := range attackedPaths {
		fmt.Fprintln(&b, path)
		for i, who := range attackers {
			fmt.Fprintf(&b, "  %-13s%d\n", who.name, answers(path, i))
		}
	}
	return b.String()
}

// answerTo is the status of one answer. Streams are left at once.
func answerTo(t *testing.T, a *App, request string, who int) int {
	t.Helper()
	ctx, leave := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer leave()
	method, target, _ := strings.Cut(request, " ")
	x := attackers[who]
	r := httptest.NewRequestWithContext(ctx, method, "/", http.NoBody)
	r.RemoteAddr, r.Host, r.RequestURI = x.from, "localhost", target
	if x.host != "" {
		r.Host = x.host
	}
	if target != "*" {
		parsed, err := r.URL.Parse("http://localhost" + target)
		if err != nil {
			t.Fatal(err)
		}
		parsed.Scheme, parsed.Host = "", ""
		r.URL = parsed
	} else {
		r.URL.Path = "*"
	}
	if x.header[0] != "" {
		r.Header.Set(x.header[0], x.header[1])
	}
	w := httptest.NewRecorder()
	a.web.server.Handler.ServeHTTP(w, r)
	return w.Code
}
