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
	entries []*kv.SpecEntry
	created time.Time
	specs   []*accept.Entry // what they were read as, by the places of their entries; nil: not known
	quota   quota           // what those take that are known
	// read is what the entries were read as, if all of them will be read as that as long as
	// nothing changes; else nil.
	read []*accept.Entry
}

// follow brings it to the entries of a round, of which restated are the objects whose status
// may be another; nil: any may.
func (s *stands) follow(entries []*kv.SpecEntry, created time.Time, restated map[state.Key]bool) {
	was := *s
	if restated == nil || !s.created.Equal(created) || s.quota.servers == nil {
		was = stands{quota: quota{servers: map[string]int{}}}
	}
	if len(restated) == 0 && s.isOf(entries) && len(was.entries) > 0 {
		return
	}
	*s = stands{entries: entries, created: created, specs: make([]*accept.Entry, len(entries)), quota: was.quota}
	s.take(&was)
	for k := range restated {
		if i, found := kv.FindSpec(entries, k); found {
			s.count(entries[i], s.specs[i], -1)
			s.specs[i] = nil
		}
	}
}

// take takes over what was known of the entries that were there before, at their places.
func (s *stands) take(was *stands) {
	at := 0
	for i, e := range s.entries {
		switch {
		case at < len(was.entries) && was.entries[at] == e:
		case at+1 < len(was.entries) && was.entries[at+1] == e: // one is gone
			s.count(was.entries[at], was.specs[at], -1)
			at++
		case at < len(was.entries) && was.entries[at].Key == e.Key: // it is another
			s.count(was.entries[at], was.specs[at], -1)
			at++
			continue
		default:
			continue // it has come
		}
		s.specs[i] = was.specs[at]
		at++
	}
	for ; at < len(was.entries); at++ {
		s.count(was.entries[at], was.specs[at], -1)
	}
}

// count counts what a spec takes that was read, so many times; what is not known, and the
// marker of a delete, take nothing.
func (s *stands) count(e *kv.SpecEntry, read *accept.Entry, times int) {
	if read == nil || read.Deleted {
		return
	}
	s.quota.keep(read.Key.Server, times)
	s.quota.add(int64(e.Size), times)
}

// isOf reports whether these are its entries.
func (s *stands) isOf(entries []*kv.SpecEntry) bool {
	return s.quota.servers != nil && same.Place(entries, s.entries)
}

// known is what an entry was read as, by its place among entries; nil: not known.
func (s *stands) known(entries []*kv.SpecEntry, place int) *accept.Entry {
	if !s.isOf(entries) {
		return nil
	}
	return s.specs[place]
}

// note notes what an entry was read as that stands and was not known.
func (s *stands) note(entries []*kv.SpecEntry, place int, read *accept.Entry) {
	if s.isOf(entries) {
		s.specs[place] = read
		s.count(entries[place], read, 1)
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
