//go:build integration

package integration

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"dynctl/state/kv/tlstest"
)

// TestFrontendWithTLS: a frontend with a certificate of its own serves, is asked by https, and
// is healed as any other. Its endpoint says so.
func TestFrontendWithTLS(t *testing.T) {
	e := Shared(t)
	ca := tlstest.New(t)
	files, _, _ := ca.Issued(t.TempDir())
	s := e.nameServer(t)
	t.Cleanup(s.remove)
	port := fmt.Sprintf("{port: %d", s.Port)
	s.Set(strings.Replace(s.document(), port, fmt.Sprintf("%s, args: {tls-cert-path: %q, tls-key-path: %q}", port, files.Cert, files.Key), 1))
	s.Set(s.Mocker("plain", 1))
	s.Wait("plain", "Ready", readyIn)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool, MinVersion: tls.VersionTLS12}}}
	url := strings.Replace(s.URL("/v1/chat/completions"), "http:", "https:", 1)
	served := func() error {
		body := `{"model": "plain", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}`
		answer, err := client.Post(url, "application/json", strings.NewReader(body))
		if err == nil {
			answer.Body.Close()
			if answer.StatusCode != http.StatusOK {
				err = fmt.Errorf("status %d", answer.StatusCode)
			}
		}
		return err
	}
	if err := served(); err != nil {
		t.Error(err)
	}
	frontend := s.InfraActor("Frontend")
	said := fmt.Sprintf("answers at https://%s:%d/v1", frontend.IP, frontend.Ports["http"])
	if doctor, _, _ := e.Exec(t, "", "doctor"); !strings.Contains(doctor, said) {
		t.Errorf("doctor does not say %q:\n%s", said, doctor)
	}
	if err := syscall.Kill(frontend.ChildPID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	Eventually(t, backIn, "the frontend is back", func() bool { return served() == nil })
	s.Wait("plain", "Ready", readyIn)
}
