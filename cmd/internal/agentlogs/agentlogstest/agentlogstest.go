// Package agentlogstest stands in for the agent in tests of who asks it for logs.
package agentlogstest

import (
	"encoding/json"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"

	"dynctl/cmd/internal/agentlogs"
)

// Log is one log that a fake agent answers for.
type Log struct {
	Attempt  int                `json:"attempt"`
	Text     string             `json:"text"`
	Previous string             `json:"previous"`
	Error    *agentlogs.Refusal `json:"error"`
}

// Agent answers for logs as docs/protocol.md says.
type Agent struct {
	Piece int // bytes of an answer
	// Logs by unit/actor; not to be changed but by Set while the agent serves.
	Logs map[string]Log
	mu   sync.Mutex
}

// Set changes one log.
func (f *Agent) Set(id string, l Log) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Logs[id] = l
}

func (f *Agent) answer(r agentlogs.Request) agentlogs.Reply {
	f.mu.Lock()
	defer f.mu.Unlock()
	l, ok := f.Logs[r.Unit+"/"+r.Actor]
	if !ok {
		return agentlogs.Reply{Error: &agentlogs.Refusal{Reason: agentlogs.NotFound, Message: "no actor " + r.Actor}}
	}
	if l.Error != nil {
		return agentlogs.Reply{Error: l.Error}
	}
	text, attempt := l.Text, l.Attempt
	if r.Previous {
		text, attempt = l.Previous, l.Attempt-1
	}
	from := 0
	switch {
	case r.Position != nil && r.Attempt == attempt:
		from = int(r.Offset)
	case r.Position == nil && r.Lines >= 0:
		lines := strings.SplitAfter(text, "\n")
		if lines[len(lines)-1] == "" {
			lines = lines[:len(lines)-1]
		}
		from = len(text) - len(strings.Join(lines[max(0, len(lines)-r.Lines):], ""))
	}
	end := min(len(text), from+f.Piece)
	reply := agentlogs.Reply{Text: text[from:end], More: end < len(text)}
	reply.Position = agentlogs.Position{Attempt: attempt, Offset: int64(end)}
	if text != "" {
		reply.File = 1
	}
	return reply
}

// Serve answers on a connection until it is closed.
func (f *Agent) Serve(conn *nats.Conn) error {
	_, err := conn.Subscribe(agentlogs.Subject, func(m *nats.Msg) {
		r := agentlogs.Request{Position: &agentlogs.Position{}}
		if err := json.Unmarshal(m.Data, &r); err != nil {
			panic(err)
		}
		if !strings.Contains(string(m.Data), `"offset"`) {
			r.Position = nil
		}
		data, err := json.Marshal(f.answer(r))
		if err != nil {
			panic(err)
		}
		_ = m.Respond(data)
	})
	if err != nil {
		return err
	}
	return conn.Flush()
}
