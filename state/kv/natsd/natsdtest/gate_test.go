package natsdtest

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"
)

// TestProxy: a gate that is a proxy leads where its clients ask for, until it is shut or
// refuses, and again once it is open.
func TestProxy(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(server.Close)
	g, err := OpenProxy()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	transport := server.Client().Transport.(*http.Transport)
	transport.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: g.Addr()})
	transport.DisableKeepAlives = true
	ask := func(patience time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, http.NoBody)
		if err != nil {
			return err
		}
		resp, err := transport.RoundTrip(req)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	}
	const long = 30 * time.Second
	if err := ask(long); err != nil {
		t.Fatal(err)
	}
	g.Shut()
	if err := ask(50 * time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("shut: %v", err)
	}
	g.Open()
	g.Refuse()
	if err := ask(long); err == nil || errors.Is(err, context.DeadlineExceeded) || g.Passing() {
		t.Errorf("refused: %v, passing %v", err, g.Passing())
	}
	g.Open()
	if err := ask(long); err != nil {
		t.Errorf("open again: %v", err)
	}
}
