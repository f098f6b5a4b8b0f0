// Package tlstest gives a test an authority of its own, which issues certificates.
package tlstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority issues certificates. Nobody knows it but who has its Pool or PEM.
type Authority struct {
	Pool *x509.CertPool
	PEM  string

	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// New makes an authority that is valid for some days.
func New(t testing.TB) *Authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotBefore: time.Now().Add(-240 * time.Hour), NotAfter: time.Now().Add(240 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	a := &Authority{t: t, key: key, Pool: x509.NewCertPool(), PEM: encode("CERTIFICATE", der)}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.Pool.AddCert(a.cert)
	return a
}

// Issue is a certificate for some hosts (none: 127.0.0.1), and for clients, with its key, as
// PEM.
func (a *Authority) Issue(serial int64, from, until time.Time, hosts ...string) (cert, key string) {
	a.t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: from, NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if len(hosts) == 0 {
		hosts = []string{"127.0.0.1"}
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &own.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		a.t.Fatal(err)
	}
	return encode("CERTIFICATE", der), encode("PRIVATE KEY", raw)
}

// Server is TLS with a certificate for 127.0.0.1 that ends at some time from now.
func (a *Authority) Server(end time.Duration) *tls.Config {
	a.t.Helper()
	cert, key := a.Issue(1, time.Now().Add(-100*time.Hour), time.Now().Add(end))
	return &tls.Config{Certificates: []tls.Certificate{a.pair(cert, key)}, MinVersion: tls.VersionTLS12}
}

// Client is TLS with a certificate, which trusts the authority alone.
func (a *Authority) Client(cert, key string) *tls.Config {
	a.t.Helper()
	return &tls.Config{Certificates: []tls.Certificate{a.pair(cert, key)}, RootCAs: a.Pool, MinVersion: tls.VersionTLS12}
}

func (a *Authority) pair(cert, key string) tls.Certificate {
	a.t.Helper()
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		a.t.Fatal(err)
	}
	return pair
}

func encode(kind string, b []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
}

// Files are where the flags of a reconciler find a certificate.
type Files struct{ Cert, Key, CA string }

// NewFiles are such files in a directory, with the authority's own certificate.
func (a *Authority) NewFiles(dir string) Files {
	a.t.Helper()
	f := Files{filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"), filepath.Join(dir, "ca.crt")}
	a.write(f.CA, a.PEM)
	return f
}

// Issued is NewFiles with a certificate for 127.0.0.1 in them, which is valid for an hour.
func (a *Authority) Issued(dir string) (f Files, cert, key string) {
	a.t.Helper()
	f = a.NewFiles(dir)
	cert, key = a.Issue(1, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	a.Write(f, cert, key)
	return f, cert, key
}

// Write puts a certificate and its key there.
func (a *Authority) Write(f Files, cert, key string) {
	a.t.Helper()
	a.write(f.Cert, cert)
	a.write(f.Key, key)
}

func (a *Authority) write(path, text string) {
	a.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		a.t.Fatal(err)
	}
}
