package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"dynctl/cmd/dynctl/internal/contexts"
	"dynctl/events"
	"dynctl/state"
	"dynctl/state/kv"
)

// place is a connection as a person names it: its URL without secrets, and its context.
func place(conn contexts.Connection) string {
	if conn.Name == "" {
		return redacted(conn.NATSURL)
	}
	return fmt.Sprintf("%s (context %s)", redacted(conn.NATSURL), conn.Name)
}

// told is what is printed of an error, in bounds. One of the store that does not say which
// store that is gets its place: who has several would look at the wrong one.
func (a *app) told(err error) string {
	text := strings.TrimRight(err.Error(), "\n")
	if text == "" {
		return ""
	}
	if a.store != "" && !strings.Contains(text, a.store) {
		switch {
		case errors.Is(err, kv.ErrUnreachable), errors.Is(err, events.ErrUnavailable) && errors.Is(err, context.DeadlineExceeded):
			text += fmt.Sprintf("; NATS at %s let dynctl in and does not answer any more: "+
				"see that the reconciler there runs and hangs in nothing (its log, its /readyz), or name another with --nats-url or %s", a.store, envNATSURL)
		case errors.Is(err, kv.ErrNotAStore), errors.Is(err, kv.ErrFull), errors.Is(err, events.ErrUnavailable):
			text += fmt.Sprintf(" (NATS at %s)", a.store)
		}
	}
	return state.Clip(state.HideSecrets(text), state.MaxMessage)
}
