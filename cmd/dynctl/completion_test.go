package main

import (
	"bytes"
	"net"
	"strings"
	"testing"
	"time"

	"dynctl/cmd/dynctl/internal/exit"
)

// TestCompletionNeverHangs: a NATS that takes the connection and says nothing, and
// a name that does not exist, cost a person who presses TAB a second.
func TestCompletionNeverHangs(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // nobody is told of an error
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	silent := "nats://" + l.Addr().String()
	for _, url := range []string{silent, silent + "," + silent, "nats://no.such.host.invalid:4222", "nats://127.0.0.1:1"} {
		var stdout, stderr bytes.Buffer
		began := time.Now()
		code := run(t.Context(), []string{"__complete", "--nats-url", url, "get", "models", ""}, strings.NewReader(""), &stdout, &stderr)
		if took := time.Since(began); took > 2*completionTimeout {
			t.Errorf("%s: took %s", url, took)
		}
		if code != exit.OK || !strings.HasPrefix(stdout.String(), ":4\n") {
			t.Errorf("%s: exit code %d, %q: want nothing to offer", url, code, stdout.String())
		}
	}
}
