package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// journal tells in a file why the judge thinks what it does: judge.log beside the logs
// that are kept of a failed run.
type journal struct {
	mu   sync.Mutex
	file *os.File
	seen map[string]time.Time // when a model was last looked at
}

const clock = "15:04:05.000"

func openJournal(dir string) (*journal, error) {
	f, err := os.Create(filepath.Join(dir, "judge.log"))
	return &journal{file: f, seen: map[string]time.Time{}}, err
}

func (w *world) note(format string, args ...any) {
	w.journal.mu.Lock()
	defer w.journal.mu.Unlock()
	now := time.Now()
	_, _ = fmt.Fprintf(w.journal.file, "%s %7.2f s  %s\n", now.UTC().Format(clock), now.Sub(w.began).Seconds(), fmt.Sprintf(format, args...)) // to read, not to judge by
}

// witness tells what there is of a model of which a request has just failed, once a second.
func (w *world) witness(ctx context.Context, r request) {
	w.journal.mu.Lock()
	again := time.Since(w.journal.seen[r.model]) < time.Second
	if !again {
		w.journal.seen[r.model] = time.Now()
	}
	w.journal.mu.Unlock()
	if again {
		return
	}
	var text strings.Builder
	units, agent, err := w.observed(ctx)
	fmt.Fprintf(&text, "%s failed: %v\n  agent %d, synced %v, heard at %s; %v\n", r.model, r.err, agent.Incarnation, agent.Synced, agent.At.Format(clock), err)
	for _, u := range units {
		if u.Model != r.model && u.Unit != "infra" {
			continue
		}
		fmt.Fprintf(&text, "  %s %s", u.Unit, u.State)
		for _, a := range u.Actors {
			fmt.Fprintf(&text, " [%s %s attempt %d node %.6s lease %x started %s ready %s]",
				a.Name[max(0, len(a.Name)-12):], a.State, a.Attempt, a.Node, a.Lease, a.StartedAt.Format(clock), a.ReadyAt.Format(clock))
		}
		text.WriteString("\n")
	}
	status, body, err := w.get(ctx, "/v1/models/"+r.model+"/ready")
	fmt.Fprintf(&text, "  frontend: %d %.2000s %v", status, body, err)
	w.note("%s", text.String())
}
