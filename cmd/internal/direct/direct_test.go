package direct

import (
	"errors"
	"net"
	"net/http"
	"net/url"
	"testing"
)

func TestProxyIsNotForThisMachine(t *testing.T) {
	proxy := &url.URL{Scheme: "http", Host: "proxy:3128"}
	asked := func(*http.Request) (*url.URL, error) { return proxy, nil }
	own := func() ([]net.Addr, error) {
		return []net.Addr{
			&net.IPNet{IP: net.IPv4(10, 0, 0, 5), Mask: net.CIDRMask(24, 32)},
			&net.IPNet{IP: net.ParseIP("fd00::5"), Mask: net.CIDRMask(64, 128)},
		}, nil
	}
	unknown := func() ([]net.Addr, error) { return nil, errors.New("no such right") }
	for _, row := range []struct {
		url  string
		own  func() ([]net.Addr, error)
		want *url.URL
	}{
		{"http://10.0.0.5:8000/v1", own, nil},
		{"http://[fd00::5]:8000/v1", own, nil},
		{"http://10.0.0.6:8000/v1", own, proxy},
		{"http://frontend:8000/v1", own, proxy},
		{"http://10.0.0.5:8000/v1", unknown, proxy},
	} {
		r, err := http.NewRequest(http.MethodGet, row.url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := proxyUnless(asked, row.own)(r); err != nil || got != row.want {
			t.Errorf("%s: through %v (%v), want %v", row.url, got, err, row.want)
		}
	}
}
