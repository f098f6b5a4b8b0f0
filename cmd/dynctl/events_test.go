package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/events"
	"dynctl/state/kv"
	"dynctl/state/kv/natsd"
	"dynctl/state/kv/natsd/leaktest"
)

// onWrite calls itself with each text that is written.
type onWrite func(text string)

func (f onWrite) Write(p []byte) (int, error) {
	f(string(p))
	return len(p), nil
}

// TestEventsFollow: what is stored, then what comes, past a message that is no
// event, until interrupted; and then nothing goes on.
func TestEventsFollow(t *testing.T) {
	defer goleak.VerifyNone(t, append(leaktest.Options(), goleak.IgnoreCurrent())...)
	server, err := natsd.Start(natsd.Options{Port: -1, StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	client, err := kv.Connect(ctx, server.URL())
	if err != nil {
		t.Fatal(err)
	}
	if err := events.EnsureStream(ctx, client.JetStream()); err != nil {
		t.Fatal(err)
	}
	p, err := events.NewPublisher(client.JetStream(), events.PublisherOptions{})
	if err != nil {
		t.Fatal(err)
	}
	publish := func(id string) {
		if err := p.Publish(ctx, events.Event{
			ID: id, Type: events.TypeUnitStarted, Source: "dynctl/agent/1", Object: "u", Time: time.Unix(0, 0),
			Data: events.Data{Server: "default", Unit: "u"},
		}); err != nil {
			t.Error(err)
		}
	}
	publish("stored")
	t.Setenv(envNATSURL, server.URL())
	following, interrupt := context.WithCancel(ctx)
	var seen []string
	out := onWrite(func(text string) {
		seen = append(seen, text)
		if len(seen) == 1 {
			if _, err := client.JetStream().Publish(ctx, "dynctl.events.default.unit-started.u", []byte("no event")); err != nil {
				t.Error(err)
			}
			publish("new")
		} else {
			interrupt()
		}
	})
	var stderr bytes.Buffer
	if code := run(following, []string{"events", "-f", "-o", "json"}, strings.NewReader(""), out, &stderr); code != exit.OK {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
	if !strings.Contains(stderr.String(), "note: passed over: message 2 of DYNCTL_EVENTS") {
		t.Errorf("got %q on stderr, want a note on the message that is no event", stderr.String())
	}
	if len(seen) != 2 || !strings.Contains(seen[0], `"stored"`) || !strings.Contains(seen[1], `"new"`) {
		t.Errorf("got %q, want the stored event, then the new one", seen)
	}
	interrupt()
	if err := p.Close(ctx); err != nil {
		t.Error(err)
	}
	client.Close()
	if err := server.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}
