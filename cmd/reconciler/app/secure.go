package app

import (
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/nats-io/nats.go"

	"dynctl/cmd/reconciler/app/door"
)

// secureNATS is the TLS of the embedded NATS; nil: it speaks none. A certificate that its
// clients would refuse is an error, and so are authorities that cannot be read; but a store
// that is reached from this machine alone goes without TLS where the certificate is meant
// for HTTP, as it does without a certificate.
func (a *App) secureNATS() (*tls.Config, error) {
	if a.cfg.NATSURL != "" {
		if a.cfg.TLSCA == "" {
			return nil, nil
		}
		text, err := door.ReadAuthorities(a.cfg.TLSCA)
		a.lastCA.Store(&text)
		return nil, err
	}
	cert := a.doors.cert
	if cert == nil {
		return nil, nil
	}
	listen, _, err := net.SplitHostPort(a.cfg.Listen)
	if err != nil {
		return nil, err
	}
	hosts := []string{listen}
	switch {
	case a.cfg.AdvertiseNATSURL != "":
		if hosts, err = hostsOf(a.cfg.AdvertiseNATSURL); err != nil {
			return nil, err
		}
	case namesNoHost(listen):
		hosts[0] = "127.0.0.1"
	}
	if err := cert.Serve(hosts, a.cfg.TLSCA); err != nil {
		// On loopback nobody listens in, and whoever dials tls:// was told to.
		if a.cfg.TLSCA == "" && isLoopback(listen) && !strings.Contains(a.cfg.AdvertiseNATSURL, "tls://") {
			a.log.Info("the embedded NATS, which listens on loopback alone, speaks no TLS: its clients would not accept the certificate", "because", err)
			return nil, nil
		}
		return nil, err
	}
	a.natsTLS = true
	return cert.Config(), nil
}

func hostsOf(list string) ([]string, error) {
	var hosts []string
	for one := range strings.SplitSeq(list, ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		if err != nil || u.Hostname() == "" {
			return nil, errors.New("--advertise-nats-url: want nats://HOST:PORT or tls://HOST:PORT")
		}
		hosts = append(hosts, u.Hostname())
	}
	return hosts, nil
}

// authorities have a connection to an external NATS check its certificate.
func (a *App) authorities() []nats.Option {
	if a.cfg.TLSCA == "" {
		return nil
	}
	return []nats.Option{nats.RootCAs(a.cfg.TLSCA)}
}

// agentAuthorities are what the agent checks the certificate of NATS against, as PEM; empty:
// what its own system knows.
func (a *App) agentAuthorities() string {
	if a.natsTLS {
		return a.doors.cert.Trusted()
	}
	if a.cfg.TLSCA == "" {
		return ""
	}
	text, err := door.ReadAuthorities(a.cfg.TLSCA)
	if err != nil {
		a.log.Error("the agent is given the authorities that could be read last", "err", err, "fix", "correct the file")
		return *a.lastCA.Load()
	}
	a.lastCA.Store(&text)
	return text
}

// contextAuthorities is the file of the authorities for the context that is left on this
// machine.
func (a *App) contextAuthorities() string {
	if !a.natsTLS || a.cfg.TLSCA == "" {
		return ""
	}
	if path, err := filepath.Abs(a.cfg.TLSCA); err == nil {
		return path
	}
	return a.cfg.TLSCA
}

// contextURL is under which the embedded store is dialled from this machine: where the
// certificate is not for that address, as the agent dials it.
func (a *App) contextURL() string {
	own := dialable(a.natsURL())
	if u, err := url.Parse(own); !a.natsTLS || err != nil || a.doors.cert.Names(u.Hostname()) {
		return own
	}
	bare, _ := splitCredentials(a.advertisedURL())
	first, _, _ := strings.Cut(bare, ",")
	return first
}

// demandTLS has who dials those URLs go on with TLS alone, where the embedded store
// speaks it: nats:// leaves that to whoever answers.
func (a *App) demandTLS(list string) string {
	if !a.natsTLS {
		return list
	}
	return strings.ReplaceAll(list, "nats://", "tls://")
}
