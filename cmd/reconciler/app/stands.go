package app

import (
	"time"

	"dynctl/actors/accept"
	"dynctl/state"
	"dynctl/state/kv"
	"dynctl/state/same"
)

// stands are the specs that stand as they were accepted, and the markers of deletes, as the
// round before found them.
// As long as the entry of one and the status of its object are the same, neither the quota
// nor the reading has to look it up. What is not known here is looked up, so that an entry
// which is missed costs time and no answer.
type stands struct {
	entries []kv.SpecEntry
	created time.Time
	specs   []*accept.Entry // what they were read as, by the places of their entries; nil: not known
	// read is what the entries were read as, if all of them will be read as that as long as
	// nothing changes; else nil.
	read []*accept.Entry
}

// follow brings it to the entries of a round, of which restated are the objects whose status
// may be another; nil: any may.
func (s *stands) follow(entries []kv.SpecEntry, created time.Time, restated map[state.Key]bool) {
	was, specs := s.entries, s.specs
	if restated == nil || !s.created.Equal(created) {
		was, specs = nil, nil
	}
	if len(restated) == 0 && s.isOf(entries) && len(was) > 0 {
		return
	}
	*s = stands{entries: entries, created: created, specs: make([]*accept.Entry, len(entries))}
	at := 0
	for i := range entries {
		e := &entries[i]
		switch {
		case at < len(was) && same.Bits(&was[at], e):
		case at+1 < len(was) && same.Bits(&was[at+1], e):
			at++ // one is gone
		case at < len(was) && was[at].Key == e.Key:
			at++
			continue // it is another
		default:
			continue // it has come
		}
		s.specs[i] = specs[at]
		at++
	}
	for k := range restated {
		if i, found := kv.FindSpec(entries, k); found {
			s.specs[i] = nil
		}
	}
}

// isOf reports whether these are its entries.
func (s *stands) isOf(entries []kv.SpecEntry) bool {
	return len(entries) == len(s.entries) && (len(entries) == 0 || &entries[0] == &s.entries[0])
}

// known is what an entry was read as, by its place among entries; nil: not known.
func (s *stands) known(entries []kv.SpecEntry, place int) *accept.Entry {
	if !s.isOf(entries) {
		return nil
	}
	return s.specs[place]
}

// note notes what an entry was read as that stands.
func (s *stands) note(entries []kv.SpecEntry, place int, read *accept.Entry) {
	if s.isOf(entries) {
		s.specs[place] = read
	}
}

// documents are what the specs say, within the quota, as far as they are read before a
// deadline. complete is as in [reading.all].
func (l *loop) documents(specs kv.SpecSnapshot, statuses map[state.Key]state.Status, units []*state.Unit, deadline time.Time) (out []*accept.Entry, complete bool) {
	s := &l.stands
	if s.follow(specs.Entries, specs.Created, l.inForce.changed); s.read != nil {
		return s.read, true
	}
	entries, refused := withinQuota(specs.Entries, l.app.cfg.Limits, counted{statuses, s, l.unreadable})
	r := reading{loop: l, created: specs.Created, statuses: statuses, units: units, deadline: deadline}
	out, complete = r.all(entries, refused)
	if complete && len(refused)+len(r.unread)+len(r.read)+len(l.decoded) == 0 && s.isOf(entries) {
		s.read = out
	}
	return out, complete
}
