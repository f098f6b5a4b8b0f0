package app

import (
	"context"
	"errors"
	"sync"
	"time"

	"dynctl/actors/accept"
	"dynctl/state"
	"dynctl/state/kv"
)

// pastTimeout bounds the reading of one object's history.
const pastTimeout = 5 * time.Second

// past reads the history of objects whose status is lost, beside the rounds: what
// was accepted of them is among it.
type past struct {
	mu      sync.Mutex
	read    map[state.Key][]accept.Entry
	reading map[state.Key]bool
}

// known is what has been read so far.
func (p *past) known() map[state.Key][]accept.Entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make(map[state.Key][]accept.Entry, len(p.read))
	for k, v := range p.read {
		out[k] = v
	}
	return out
}

// want begins to read the histories of these objects and forgets all others.
func (l *loop) want(ctx context.Context, keys []state.Key) {
	p := &l.past
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(keys) == 0 && len(p.reading) == 0 {
		p.read = nil
		return
	}
	for _, key := range keys {
		if _, done := p.read[key]; done || p.reading[key] {
			continue
		}
		if p.reading == nil {
			p.reading = map[state.Key]bool{}
		}
		p.reading[key] = true
		go l.readPast(ctx, key)
	}
}

func (l *loop) readPast(ctx context.Context, key state.Key) {
	ctx, cancel := context.WithTimeout(ctx, pastTimeout)
	defer cancel()
	history, err := l.app.store.SpecHistory(ctx, key)
	if err != nil && !errors.Is(err, kv.ErrNotFound) {
		l.app.log.Warn("the history of a spec was not read; it is tried again", "key", key, "err", err)
	}
	entries := []accept.Entry{}
	for _, e := range history {
		x := accept.Entry{Key: key, Revision: e.Revision, Deleted: e.Deleted, At: e.At}
		if !e.Deleted {
			x.Err = state.CheckValueSize(e.Size) // a value over it is not there
		}
		if !e.Deleted && x.Err == nil {
			x.Doc, x.Err = state.DecodeValue(key, e.Value)
		}
		entries = append(entries, x)
	}
	p := &l.past
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.reading, key)
	if err == nil || errors.Is(err, kv.ErrNotFound) {
		if p.read == nil {
			p.read = map[state.Key][]accept.Entry{}
		}
		p.read[key] = entries
		l.app.log.Warn("a status is lost; what was accepted is told by what runs and by the history of the spec", "key", key, "revisions", len(entries))
		l.Kick()
	}
}
