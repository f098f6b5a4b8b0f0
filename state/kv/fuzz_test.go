package kv

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"dynctl/state"
)

// Whatever stands in a bucket, reading it ends, and what is let through says what
// its key says.

func FuzzParseStatus(f *testing.F) {
	f.Add("model.default.m", []byte(`{"key":"model.default.m","kind":"Model","server":"default","name":"m","observedRevision":1,"conditions":[{"type":"Ready","status":"True","lastTransitionTime":"2026-11-01T12:00:00Z"}],"acceptedSpec":{}}`))
	f.Add("server.default", []byte(`{"observedRevision":18446744073709551615}`))
	f.Add("zzz", []byte(`garbage`))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		s, err := parseStatus(entry{key: key, value: value, rev: 7, at: time.Unix(1e9, 0)})
		if err != nil {
			return
		}
		if s.Key != key || s.Revision != 7 || s.ObservedRevision > state.MaxCounter || s.AcceptedRevision > state.MaxCounter {
			t.Errorf("%+v", s)
		}
		if _, err := json.Marshal(s); err != nil {
			t.Errorf("it cannot be written again: %v", err)
		}
	})
}

func FuzzParseObservation(f *testing.F) {
	f.Add("agent", []byte(`{"incarnation":1}`))
	f.Add("unit.default.a", []byte(`{"server":"default","unit":"a","state":"Running","sentAt":"2026-11-01T12:00:00Z","actors":[{"name":"x","exit":{"at":"2026-11-01T12:00:00Z"}}]}`))
	f.Add("node.x", []byte(`{"id":"x","gpus":8,"freeGpus":1.5}`))
	f.Add("node.x", []byte(`[]`))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		e := entry{key: key, value: value, at: time.Unix(1e9, 0)}
		agent := entry{key: keyAgent, value: []byte(`{"incarnation":3,"synced":true}`), at: e.at}
		items, _ := observations([]entry{agent, e})
		o := observe(items, true)
		if key != keyAgent && !o.Synced {
			t.Error("one key unsettles the whole bucket")
		}
		for _, u := range o.Units {
			if unitKey(u.Key()) != key || u.Incarnation != 3 {
				t.Errorf("unit %+v", u)
			}
		}
	})
}

func FuzzParseLease(f *testing.F) {
	f.Add([]byte(`{"holder":"r1","epoch":1,"since":"2026-11-01T12:00:00Z"}`), true)
	f.Add([]byte(`{"holder":"x","epoch":18446744073709551615}`), false)
	f.Fuzz(func(t *testing.T, value []byte, ttl bool) {
		e := entry{key: keyLeader, value: value, at: time.Unix(1e9, 0), header: nats.Header{}}
		if ttl {
			e.header.Set(headerTTL, "3s")
		}
		l, err := parseLease(e, 5)
		if err == nil && (l.Holder == "" || l.Epoch == 0 || l.Epoch > 5+state.MaxCounterStep || !ttl) {
			t.Errorf("%+v", l)
		}
		if n, err := parseEpoch(e, 5); err == nil && n > state.MaxCounter {
			t.Errorf("epoch %d", n)
		}
	})
}
