package app

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

func TestWebAnswersBeforeTheProgramIsComplete(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := &App{cfg: Config{NATSURL: "nats://u:secret@127.0.0.1:1"}}
	w := serve(t.Context(), l, a.waiting)
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
