package accept

import (
	"maps"
	"slices"
	"time"

	"dynctl/actors/render"
	"dynctl/state"
	"dynctl/state/same"
)

// What was accepted and rests is taken from the round before, with all that was concluded
// of it, as long as what that rests on is the same: its entry and its status to the bit,
// the bucket, and its server. Only what an object came to by itself rests; one that is
// rejected, being deleted, missing, recovered or about to change is judged in every round.
// A model of which nothing but the marker of its delete is left rests until a unit of it is seen.

// basis is what of a server the conclusions on a model rest on.
type basis struct {
	settled      bool          // false: the server itself is changing
	object       *state.Server // as it was decoded once; nil: the defaults
	accepted     uint64
	in, statusIn time.Time
	router       state.RouterStatus
	noCards      bool
	oldest       string
	taught       int // of command lines and policy, see Memo
}

func (a *accepter) basisOf(s *acceptedServer) basis {
	b := basis{
		settled: !s.Recovering && !s.recovered && s.forced == "" && !s.acceptedNow, object: s.decoded, accepted: s.Accepted, in: s.AcceptedIn,
		router: s.Template.Router, noCards: a.releases.NoCards(), oldest: a.releases.Oldest(), taught: a.memo.taught,
	}
	if s.Status != nil {
		b.statusIn = s.Status.AcceptedIn
	}
	return b
}

// restedModel is the model of a key as the round before left it; nil where that does not
// count any more.
func (a *accepter) restedModel(k state.Key) *acceptedModel {
	m := a.memo.models[k]
	if m == nil {
		return nil
	}
	e := a.entryOf(k)
	st, stored := a.in.Statuses[k]
	unchanged := e != nil && m.created.Equal(a.in.Created) && same.Bits(m.entry, e)
	if unchanged && (stored && m.Status != nil && same.Bits(m.Status, &st) || !stored && a.isGone(m)) {
		m.rests = true
		return m
	}
	a.memo.disclaim(m)
	delete(a.memo.models, k)
	return nil
}

// rest has the next round take a model as it is, if it may.
func (a *accepter) rest(m *acceptedModel, b basis) {
	e := m.entry
	m.rests = a.isGone(m) || m.asStored && b.settled && e != nil && e.Err == nil && !e.Deleted && !e.Missing && e.Revision == m.Accepted &&
		m.Rejected == nil && m.before == nil && !m.recovered && !m.Recovering && len(m.stored.Others) == 0
	if !m.rests {
		delete(a.memo.models, m.key)
		return
	}
	m.basis, m.created = b, a.in.Created
	if a.memo.models == nil {
		a.memo.models = map[state.Key]*acceptedModel{}
	}
	a.memo.models[m.key] = m
}

// isGone reports whether a model was deleted and nothing of it is left but the marker, which
// may stay for good.
func (a *accepter) isGone(m *acceptedModel) bool {
	return m.Deleted != nil && m.Status == nil && len(a.unitsOf(m.key)) == 0
}

// dismiss forgets the objects that are not there any more, and what those models claim that
// do not rest.
func (a *accepter) dismiss() {
	for name := range a.memo.there {
		if a.servers[name] == nil {
			delete(a.kept, state.ServerKey(name))
		}
	}
	a.memo.there = a.servers
	for _, m := range a.judged {
		if !m.rests {
			a.memo.disclaim(m)
		}
	}
	if a.changed != nil {
		return // and nothing is gone
	}
	for k, m := range a.memo.models {
		if _, stored := a.in.Statuses[k]; !stored && a.entryOf(k) == nil {
			a.memo.disclaim(m)
			delete(a.memo.models, k)
		}
	}
}

// modelKeys are the keys of all models that there are, sorted.
func (a *accepter) modelKeys() []state.Key {
	keys := make(map[state.Key]bool, len(a.in.Statuses)+1)
	for i := range a.in.Entries {
		keys[a.in.Entries[i].Key] = true
	}
	for k := range a.in.Statuses {
		keys[k] = true
	}
	for _, m := range a.memo.before.models {
		if !keys[m.key] {
			delete(a.kept, m.key)
		}
	}
	return slices.DeleteFunc(slices.SortedFunc(maps.Keys(keys), state.Key.Compare), func(k state.Key) bool { return k.Kind != state.KindModel })
}

// entryOf is the entry of a key; nil: there is none. Whoever asks for one after the other in
// their order is answered without any looking.
func (a *accepter) entryOf(k state.Key) *Entry {
	all := a.in.Entries
	if a.cursor >= len(all) || all[a.cursor].Key != k {
		i, there := slices.BinarySearchFunc(all, k, func(e *Entry, k state.Key) int { return e.Key.Compare(k) })
		if !there {
			return nil
		}
		a.cursor = i
	}
	a.cursor++
	return all[a.cursor-1]
}

func (a *accepter) revisionOf(k state.Key) uint64 {
	if e := a.entryOf(k); e != nil {
		return e.Revision
	}
	return 0
}

// restedServer is the same for a server, of which at first the entry and the status count.
func (a *accepter) restedServer(name string) *acceptedServer {
	s := a.memo.servers[name]
	if s == nil {
		return nil
	}
	k := state.ServerKey(name)
	e := a.entryOf(k)
	st, stored := a.in.Statuses[k]
	if (e != nil) == (s.entry != nil) && stored && (e == nil || same.Bits(s.entry, e)) && same.Bits(s.Status, &st) && s.created.Equal(a.in.Created) {
		s.rests = true
		return s
	}
	delete(a.memo.servers, name)
	return nil
}

// restsWith reports whether what was concluded of a server holds with so many models, if all
// of them rest.
func (a *accepter) restsWith(s *acceptedServer, models int) bool {
	return s.rests && s.models == models && s.taught == a.memo.taught && s.releases.Equal(a.releases)
}

// restServer has the next round take a server as it is, if it may.
func (a *accepter) restServer(s *acceptedServer, models int) {
	s.rests = s.asStored && !s.Recovering && !s.recovered && s.forced == "" && !s.acceptedNow && s.Rejected == nil && s.Deleted == nil &&
		len(s.RoutedAnew) == 0 && s.Status != nil && (s.entry == nil || !s.entry.Missing)
	if !s.rests {
		delete(a.memo.servers, s.Name)
		return
	}
	s.models, s.taught, s.releases, s.created = models, a.memo.taught, a.releases, a.in.Created
	if a.memo.servers == nil {
		a.memo.servers = map[string]*acceptedServer{}
	}
	a.memo.servers[s.Name] = s
}

// resting is what of an object lasts from one round to the next.
type resting struct {
	rests    bool // taken from the round before, or to be taken by the next
	asStored bool // what its status keeps is what was rendered
	created  time.Time
	listed   bool // of a model: it is among those that are desired
}

// restingServer is the same of a server.
type restingServer struct {
	resting
	entry       *Entry
	decoded     *state.Server
	acceptedNow bool
	models      int // how many it had
	taught      int
	releases    render.Releases
}

// asKept is what the status of an object keeps, as it is.
func asKept(raw []byte, st *state.Status) Kept { return Kept{Spec: raw, Template: st.Template} }
