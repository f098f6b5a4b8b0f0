package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/state"
	"dynctl/state/kv"
)

// typed is standard input at which nobody types; reading tells that somebody waits.
type typed struct{ reading chan struct{} }

func (r typed) Read([]byte) (int, error) {
	r.reading <- struct{}{}
	select {}
}

// served is a model whose frontend begins an answer and does not end it.
func served(t *testing.T, c *kv.Client) {
	t.Helper()
	frontend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `data: {"choices":[{"delta":{"content":"Hel"}}]}`+"\n\n")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	t.Cleanup(frontend.Close)
	somebody(t, c, "a", `{"model":"x/a"}`)
	key := state.ModelKey("default", "a")
	if _, err := c.PutStatus(t.Context(), state.Status{
		Key: key.String(), Kind: key.Kind, Server: key.Server, Name: key.Name, Endpoint: frontend.URL,
		AcceptedSpec: fmt.Appendf(nil, modelDocument, "a", `{"model":"x/a"}`),
		Conditions:   []state.Condition{{Type: state.CondAvailable, Status: state.StatusTrue}},
	}); err != nil {
		t.Fatal(err)
	}
}

// A signal ends a verb at once and without a word: while it waits for what is typed, and
// in the middle of an answer.
func TestInterrupted(t *testing.T) {
	served(t, newStore(t))
	for _, args := range []string{"set -", "delete -", "chat a", "chat a hello"} {
		t.Run(args, func(t *testing.T) {
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			in := typed{make(chan struct{}, 1)}
			began := make(chan struct{}, 10)
			stdout := onWrite(func(string) { began <- struct{}{} })
			var stderr bytes.Buffer
			ended := make(chan int, 1)
			go func() { ended <- run(ctx, strings.Fields(args), in, stdout, &stderr) }()
			select {
			case <-in.reading:
			case <-began:
			case code := <-ended:
				t.Fatalf("ended with %d before: %s", code, &stderr)
			}
			interrupt()
			select {
			case code := <-ended:
				if code != exit.Interrupted || stderr.Len() > 0 {
					t.Errorf("exit code %d: %s", code, &stderr)
				}
			case <-time.After(10 * time.Second):
				t.Error("it goes on")
			}
		})
	}
}

// Nobody waits for the rest of an answer that cannot be written.
func TestChatIntoAFullDisk(t *testing.T) {
	served(t, newStore(t))
	var stderr bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	code := run(ctx, []string{"chat", "a", "hello"}, strings.NewReader(""), &full{}, &stderr)
	if code != exit.Unreachable || ctx.Err() != nil || !strings.Contains(stderr.String(), errNoSpace.Error()) {
		t.Errorf("exit code %d, %v: %s", code, ctx.Err(), &stderr)
	}
}
