// Package direct is the way to the frontends by HTTP.
package direct

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"slices"
)

// Client asks through the proxy that the environment names (http_proxy, no_proxy),
// but what listens on this machine directly: a frontend's endpoint is the address of
// its node, which is this machine where everything runs on one, and a proxy elsewhere
// cannot reach it. Go itself does so for loopback alone.
var Client = &http.Client{Transport: transport()}

// Unchecked is the same by whatever certificate, for who wants to know whether a frontend
// answers and no more: a certificate is for the name by which clients come, and not for the
// node's address.
var Unchecked = &http.Client{Transport: unchecked()}

func unchecked() *http.Transport {
	t := transport()
	//nolint:gosec // as above
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}
	return t
}

func transport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy = proxyUnless(http.ProxyFromEnvironment, net.InterfaceAddrs)
	return t
}

func proxyUnless(proxy func(*http.Request) (*url.URL, error), own func() ([]net.Addr, error)) func(*http.Request) (*url.URL, error) {
	return func(r *http.Request) (*url.URL, error) {
		ip := net.ParseIP(r.URL.Hostname())
		addresses, err := own()
		if err == nil && ip != nil && slices.ContainsFunc(addresses, func(a net.Addr) bool {
			n, ok := a.(*net.IPNet)
			return ok && n.IP.Equal(ip)
		}) {
			return nil, nil
		}
		return proxy(r)
	}
}
