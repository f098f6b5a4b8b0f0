package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/state"
)

// hangingNATS lets everybody in, answers pings, and nothing else: as one whose JetStream hangs,
// or that is cut off from the others of its cluster.
func hangingNATS(t *testing.T) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				fmt.Fprint(c, `INFO {"server_id":"x","version":"2.12.0","max_payload":1048576,"headers":true}`+"\r\n")
				for lines := bufio.NewScanner(c); lines.Scan(); {
					if lines.Text() == "PING" {
						fmt.Fprint(c, "PONG\r\n")
					}
				}
			}()
		}
	}()
	return "nats://" + l.Addr().String()
}

// TestEveryVerbNamesTheStoreThatDoesNotAnswer: who has several stores would look at another one,
// and there is always a way out.
func TestEveryVerbNamesTheStoreThatDoesNotAnswer(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	url := hangingNATS(t)
	var verbs sync.WaitGroup
	for _, verb := range []string{
		"status", "status model/m", "get models", "get servers", "get units", "get nodes", "plan", "router", "history model/m", "events",
		"logs model/m", "wait model/m --timeout 1m", "delete model/m", "scale model/m --replicas 1", "restart model/m", "suspend model/m",
		"resume model/m", "rollback model/m", "sweep", "confirm-deletions default", "chat m hello", "backup -",
	} {
		verbs.Go(func() {
			var out, errs bytes.Buffer
			code := run(t.Context(), append(strings.Fields(verb), "--nats-url", url), strings.NewReader(""), &out, &errs)
			said := errs.String()
			if code != exit.Unreachable || !strings.Contains(said, url) || !strings.Contains(said, "--nats-url") {
				t.Errorf("dynctl %s: exit code %d: %s%s", verb, code, out.String(), said)
			}
		})
	}
	verbs.Wait()
}

// TestErrorsAreBounded: what somebody gives dynctl is not said back in full, however large it is.
func TestErrorsAreBounded(t *testing.T) {
	t.Setenv(envNATSURL, "nats://127.0.0.1:1")
	huge := strings.Repeat("a", 100_000)
	for _, verb := range []string{"set", "delete", "status", "explain", "schema", "convert", "restore", "get", "confirm-deletions", "router", huge} {
		var out, errs bytes.Buffer
		code := run(t.Context(), []string{verb, huge}, strings.NewReader(""), &out, &errs)
		if code == exit.OK || errs.Len() > state.MaxMessage+100 {
			t.Errorf("%.20s: exit code %d and %d bytes", verb, code, errs.Len())
		}
	}
}

// TestAnEmptyArgumentIsRefused: it is a variable that is not set, and no place, file or object.
func TestAnEmptyArgumentIsRefused(t *testing.T) {
	t.Setenv(envNATSURL, "nats://127.0.0.1:1")
	for _, verb := range []string{
		"set", "get", "delete", "diff", "plan", "status", "wait", "logs", "restart", "suspend", "resume", "history", "rollback", "sweep",
		"confirm-deletions", "router", "schema", "explain", "convert", "chat", "backup", "restore",
	} {
		var out, errs bytes.Buffer
		code := run(t.Context(), []string{verb, ""}, strings.NewReader(""), &out, &errs)
		if code != exit.Usage || !strings.Contains(errs.String(), "argument 1 is empty") {
			t.Errorf("%s: exit code %d: %s", verb, code, errs.String())
		}
	}
}
