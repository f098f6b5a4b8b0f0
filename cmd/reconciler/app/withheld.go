package app

import (
	"encoding/json"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"dynctl/actors"
)

// withheldSubject is where the agent asks for what a command withholds.
const withheldSubject = "dynctl.reconciler.withheld"

// withheld keeps the templates of commands whose secrets are not in the stream, which
// keeps them for days. The agent asks for them by the command's id (docs/protocol.md,
// "Secrets of a start").
type withheld struct {
	mu   sync.Mutex
	byID map[string]withheldTemplate
}

type withheldTemplate struct {
	template actors.UnitTemplate
	until    time.Time
}

// keep has a template told until its command is too old to be begun.
func (w *withheld) keep(id string, t actors.UnitTemplate, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byID == nil {
		w.byID = map[string]withheldTemplate{}
	}
	for old, x := range w.byID {
		if now.After(x.until) {
			delete(w.byID, old)
		}
	}
	w.byID[id] = withheldTemplate{template: t, until: now.Add(2 * actors.CommandDeadline)}
}

// serve answers until the connection ends. Who does not know a command is silent:
// another reconciler may.
func (w *withheld) serve(nc *nats.Conn) error {
	_, err := nc.Subscribe(withheldSubject, func(m *nats.Msg) {
		w.mu.Lock()
		x, known := w.byID[string(m.Data)]
		w.mu.Unlock()
		if !known {
			return
		}
		if reply, err := json.Marshal(map[string]any{"template": x.template}); err == nil {
			_ = m.Respond(reply) // one that is lost is asked for again
		}
	})
	return err
}
