package door

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"time"
)

// Bounds of the HTTP port; docs/limits.md says what happens at each.
const (
	// MaxConns bounds the connections.
	MaxConns = 512
	// MaxRequests bounds the requests that are answered at once for one client.
	MaxRequests = 64
	// MaxHeaderBytes bounds the header of a request.
	MaxHeaderBytes = 16 << 10
	// HeaderTimeout is how long the header of a request may take.
	HeaderTimeout = 5 * time.Second
	// IdleTimeout ends a connection between two requests.
	IdleTimeout = 60 * time.Second
	// AnswerTimeout ends the answer to whoever does not read it; what takes longer
	// sets deadlines of its own.
	AnswerTimeout = 30 * time.Second
)

// bodyTimeout is how long what follows a refused header is read, and thrown away.
const bodyTimeout = time.Second

// open is the path that is answered whoever asks: it says that this program runs.
const open = "/healthz"

// Server is an HTTP server behind the door. Serve it on Listener's listener.
func Server(ctx context.Context, hosts Hosts, tokens *Tokens, h http.Handler) *http.Server {
	return &http.Server{
		Handler:           guard(hosts, tokens, NewGate("requests", 2*MaxConns, MaxRequests), h),
		ReadHeaderTimeout: HeaderTimeout,
		IdleTimeout:       IdleTimeout,
		WriteTimeout:      AnswerTimeout,
		MaxHeaderBytes:    MaxHeaderBytes - 4096, // net/http grants that much more
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if secured, ok := c.(*tls.Conn); ok {
				c = secured.NetConn()
			}
			return context.WithValue(ctx, connKey{}, c)
		},
	}
}

// Listener bounds the connections of a listener to [MaxConns]. With a certificate it
// speaks TLS.
func Listener(l net.Listener, c *Certificate) net.Listener {
	bounded := newConns(l, MaxConns)
	if c == nil {
		return bounded
	}
	return tls.NewListener(bounded, c.Config("http/1.1")) // HTTP/2 is left out: the bounds count connections
}

// guard answers what is not let in, and hands on the rest.
func guard(hosts Hosts, tokens *Tokens, requests *Gate, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := connOf(r.Context()); ok {
			defer c.answering()()
		}
		secure(w.Header())
		leave, err := requests.Enter(Client(r))
		if err != nil {
			Deny(w, err)
			return
		}
		defer leave()
		if code, text := refusal(hosts, r); code != 0 {
			w.Header().Set("Connection", "close")
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout)) // net/http has deadlines
			http.Error(w, text, code)
			return
		}
		role := tokens.role(r)
		if role == Nobody && r.URL.Path != open {
			tokens.challenge(w)
			return
		}
		ctx, done := tokens.hold(r, role)
		defer done()
		h.ServeHTTP(w, r.WithContext(context.WithValue(ctx, roleKey{}, role)))
	})
}

// refusal is why a request is not answered; 0 if it is.
func refusal(hosts Hosts, r *http.Request) (code int, text string) {
	reached, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr) // always there in net/http
	switch {
	case !hosts.Allow(r.Host, reached):
		return http.StatusMisdirectedRequest, fmt.Sprintf(
			"host %q: this server is not known under that name; ask it by its address, or start the reconciler with --http-allowed-hosts and that name", r.Host)
	case r.ContentLength != 0:
		return http.StatusRequestEntityTooLarge, "nothing here takes a body: send none"
	case r.Header.Get("Sec-Fetch-Site") == "cross-site" && r.Header.Get("Sec-Fetch-Mode") != "navigate":
		return http.StatusForbidden, "a page of another site may link here, and embed or read nothing"
	}
	return 0, ""
}

// secure sets what holds for every answer; a page that loads something says so
// itself.
func secure(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY") // for browsers that do not know frame-ancestors
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
}
