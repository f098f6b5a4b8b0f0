//go:build kube

package kube

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const root = "../.."

// server is a Kubernetes API server on an etcd of its own.
type server struct {
	t          *testing.T
	dir, url   string
	kubeconfig string // of an administrator
}

// startServer runs both until the test ends.
func startServer(t *testing.T) *server {
	t.Helper()
	s := &server{t: t, dir: t.TempDir()}
	etcd, peer, api := freePort(t), freePort(t), freePort(t)
	s.url = "https://127.0.0.1:" + api
	s.run("etcd", "--data-dir", s.path("etcd"), "--listen-client-urls", "http://127.0.0.1:"+etcd, "--advertise-client-urls", "http://127.0.0.1:"+etcd,
		"--listen-peer-urls", "http://127.0.0.1:"+peer, "--initial-advertise-peer-urls", "http://127.0.0.1:"+peer, "--initial-cluster", "default=http://127.0.0.1:"+peer)
	s.write("tokens.csv", "of-the-administrator,admin,admin,system:masters\n")
	s.write("accounts.key", newKey(t))
	s.run("kube-apiserver", "--etcd-servers", "http://127.0.0.1:"+etcd, "--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1", "--secure-port", api,
		"--cert-dir", s.path("certs"), "--token-auth-file", s.path("tokens.csv"), "--authorization-mode", "RBAC",
		"--service-account-issuer", "https://kubernetes.default.svc", "--service-account-key-file", s.path("accounts.key"),
		"--service-account-signing-key-file", s.path("accounts.key"), "--service-cluster-ip-range", "10.96.0.0/16", "--endpoint-reconciler-type", "none")
	s.kubeconfig = s.config("admin", "of-the-administrator")
	s.eventually("the API server is ready", func() error { _, err := s.try("kubectl", "get", "--raw", "/readyz"); return err })
	return s
}

// part runs a part of the story, which fails by itself.
func (s *server) part(story func(*testing.T, *server)) func(*testing.T) {
	return func(t *testing.T) {
		own := *s
		own.t = t
		story(t, &own)
	}
}

func (s *server) path(name string) string { return filepath.Join(s.dir, name) }

func (s *server) write(name, content string) {
	s.t.Helper()
	if err := os.WriteFile(s.path(name), []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// config is the path of a kubeconfig for a bearer token.
func (s *server) config(name, token string) string {
	s.t.Helper()
	s.write(name+".kubeconfig", fmt.Sprintf(`{"apiVersion": "v1", "kind": "Config", "current-context": "c",
"clusters": [{"name": "c", "cluster": {"server": %q, "insecure-skip-tls-verify": true}}],
"users": [{"name": "u", "user": {"token": %q}}],
"contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]}`, s.url, token))
	return s.path(name + ".kubeconfig")
}

// run starts a program of bin/ and ends it with the test, whose log has the end of its
// own if the test fails.
func (s *server) run(name string, args ...string) {
	s.t.Helper()
	cmd := exec.Command(program(s.t, name), args...)
	log, err := os.Create(s.path(name + ".log"))
	if err != nil {
		s.t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
		_ = log.Close()
		if s.t.Failed() {
			raw, _ := os.ReadFile(s.path(name + ".log"))
			s.t.Logf("the end of %s's log:\n%s", name, raw[max(0, len(raw)-4000):])
		}
	})
}

func program(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(root, "bin", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run `make kube`, which builds or fetches it", err)
	}
	return path
}

// try runs helm or kubectl as the administrator.
func (s *server) try(name string, args ...string) (string, error) {
	return s.feed("", name, args...)
}

func (s *server) feed(stdin, name string, args ...string) (string, error) {
	cmd := exec.Command(program(s.t, name), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+s.kubeconfig, "HOME="+s.dir)
	cmd.Stdin = strings.NewReader(stdin)
	var out, bad bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &bad
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, bad.String())
	}
	return out.String(), nil
}

// must is try for what has to work.
func (s *server) must(name string, args ...string) string {
	s.t.Helper()
	out, err := s.try(name, args...)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

func (s *server) create(manifest string) {
	s.t.Helper()
	if _, err := s.feed(manifest, "kubectl", "create", "-f", "-"); err != nil {
		s.t.Fatal(err)
	}
}

// merge patches an object; subresource may be empty.
func (s *server) merge(object, subresource, patch string) {
	s.t.Helper()
	args := []string{"-n", "ml", "patch", object, "--type", "merge", "-p", patch}
	if subresource != "" {
		args = append(args, "--subresource", subresource)
	}
	s.must("kubectl", args...)
}

// eventually tries for as long as a machine with too much to do may need.
func (s *server) eventually(what string, holds func() error) {
	s.t.Helper()
	var err error
	for late := time.Now().Add(3 * time.Minute); time.Now().Before(late); time.Sleep(100 * time.Millisecond) {
		if err = holds(); err == nil {
			return
		}
	}
	s.t.Fatalf("%s: %v", what, err)
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

func newKey(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw}))
}

// module is the directory of a module, as in go.mod unless a version is named.
func module(t *testing.T, name string) string {
	t.Helper()
	cmd := exec.Command("go", "mod", "download", "-json", name)
	cmd.Dir = root
	if strings.Contains(name, "@") {
		cmd.Dir = t.TempDir()
	}
	out, err := cmd.Output()
	var m struct{ Dir, Error string }
	if json.Unmarshal(out, &m) != nil || err != nil || m.Error != "" {
		t.Fatalf("go mod download %s: %v %s", name, err, m.Error)
	}
	return m.Dir
}
