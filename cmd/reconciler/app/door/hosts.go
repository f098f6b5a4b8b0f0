package door

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// Hosts are the names under which this server may be asked. Anything else in a Host
// header comes from a page whose own name was made to point here (DNS rebinding):
// the browser takes the answer for that page's.
type Hosts struct {
	names    map[string]bool
	suffixes []string
}

// ParseHosts reads what the server listens on (HOST:PORT) and the names that are
// allowed besides: NAME, or *.NAME for all below a name. Loopback, and the address
// that a connection has reached, are always allowed.
func ParseHosts(listen string, allowed []string) (Hosts, error) {
	h := Hosts{names: map[string]bool{}}
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return h, err
	}
	// 0.0.0.0 and :: are for listening: no client has a reason to name them.
	if ip, err := netip.ParseAddr(host); host != "" && (err != nil || !ip.IsUnspecified()) {
		h.names[canonical(host)] = true
	}
	for _, name := range allowed {
		below, isSuffix := strings.CutPrefix(name, "*.")
		if !isHost(below) {
			return h, fmt.Errorf("%q: want a host name or an address without scheme and port, or *.NAME for all names below one", name)
		}
		if isSuffix {
			h.suffixes = append(h.suffixes, "."+canonical(below))
		} else {
			h.names[canonical(name)] = true
		}
	}
	return h, nil
}

func isHost(s string) bool {
	if _, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return true
	}
	return strings.Trim(s, ".") != "" && !strings.ContainsAny(s, "*:/@?#[] \t")
}

// canonical is a host as it is compared: lower case, without brackets and without
// the dot at the end.
func canonical(host string) string {
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().WithZone("").String()
	}
	return host
}

// Allow reports whether a Host header is one of ours; reached is the address that
// the connection has reached. Its port says nothing: forwarding changes it. Only
// HTTP/1.0 leaves the header out, which no browser speaks.
func (h Hosts) Allow(header string, reached net.Addr) bool {
	if header == "" {
		return true
	}
	host := header
	if name, _, err := net.SplitHostPort(header); err == nil {
		host = name
	}
	host = canonical(host)
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsLoopback() {
		return true
	}
	if host == "localhost" || strings.HasSuffix(host, ".localhost") || h.names[host] {
		return true
	}
	for _, s := range h.suffixes {
		if strings.HasSuffix(host, s) {
			return true
		}
	}
	at, ok := reached.(*net.TCPAddr)
	return ok && canonical(at.IP.String()) == host
}
