package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"

	"google.golang.org/grpc/credentials"
)

// overTLS reports whether an endpoint, or the first of several, is one with TLS.
func overTLS(endpoint string) bool { return strings.HasPrefix(endpoint, "https://") }

// trust proves an etcd by TLS, and us to it. The certificates are asked for at every
// connection, so that renewed ones count from the next one on; what the system trusts stands
// in where nobody tells any.
type trust struct {
	credentials.TransportCredentials
	login func(context.Context) (Login, error)
}

func newTrust(login func(context.Context) (Login, error)) trust {
	return trust{credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12}), login}
}

// Clone implements [credentials.TransportCredentials].
func (t trust) Clone() credentials.TransportCredentials {
	return trust{t.TransportCredentials.Clone(), t.login}
}

// ClientHandshake implements the same.
func (t trust) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	told, asked := t.login(ctx)
	own, err := told.tls()
	if err != nil {
		return nil, nil, err
	}
	conn, info, err := credentials.NewTLS(own).ClientHandshake(ctx, authority, raw)
	if err != nil && (asked != nil || told.CA == "") {
		const text = "%w; set ETCD_AUTH_CA, ETCD_AUTH_CLIENT_CERT and ETCD_AUTH_CLIENT_KEY in spec.env of the Server, with fromFile"
		err = fmt.Errorf(text, errors.Join(err, asked))
	}
	return conn, info, err
}

// tls is what a handshake needs of a login. Errors name the variables, not what they hold.
func (l Login) tls() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if l.CA != "" {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM([]byte(l.CA)) {
			return nil, errors.New("ETCD_AUTH_CA of the frontend holds no certificate in PEM")
		}
	}
	if l.Cert != "" {
		pair, err := tls.X509KeyPair([]byte(l.Cert), []byte(l.Key))
		if err != nil {
			return nil, fmt.Errorf("ETCD_AUTH_CLIENT_CERT and ETCD_AUTH_CLIENT_KEY of the frontend: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
