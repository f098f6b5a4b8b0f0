package accept

import (
	"cmp"
	"slices"
	"time"

	"dynctl/actors"
	"dynctl/router"
	"dynctl/state"
	"dynctl/state/same"
	"dynctl/state/sorted"
)

// A call with a memo goes on from what the call before came to. Which objects it has to look
// at is found once, before anything else: entries are compared with those of the call before,
// in their order, and of statuses the caller says which may be others. These, and what did
// not rest, are collected, judged and put into the lists anew. Where that is not known, where
// an object is gone or very many models are new, all are looked at: both ways come to the same,
// which the tests compare.

// before is what the last call was given and came to.
type before struct {
	is       bool
	entries  []*Entry
	created  time.Time
	models   []*acceptedModel          // all that there were, by key
	restless []state.Key               // of those, what did not come to rest
	basis    map[string]basis          // of each server whose models were judged
	routed   map[string][]router.Model // see routedModels, by server
	sizes    map[state.Key]int         // see storedSize
	stored   int                       // their sum
	looked   int                       // at how many models it looked
}

// Looked is at how many models the last call looked.
func (m *Memo) Looked() int { return m.before.looked }

// newAtOnce is how many models may be new for the lists to be patched: each moves what
// comes after it.
const newAtOnce = 64

func newAccepter(in Input) *accepter {
	a := &accepter{in: in, memo: in.Memo}
	if a.memo == nil {
		a.memo = &Memo{}
	}
	if was := a.memo.before.entries; !same.Place(in.Entries, was) && !sorted.Rises(in.Entries, was, compareEntries) {
		a.in.Entries = slices.SortedFunc(slices.Values(in.Entries), compareEntries)
	}
	if a.memo.kept == nil {
		a.memo.kept = make(map[state.Key]Kept, len(in.Entries))
	}
	a.kept = a.memo.kept
	return a
}

func compareEntries(x, y *Entry) int { return x.Key.Compare(y.Key) }

// notice finds what has changed since the call before.
func (a *accepter) notice() {
	was := &a.memo.before
	moved := a.memo.units.follow(a.in.Units)
	if was.is && a.in.Restated != nil && was.created.Equal(a.in.Created) {
		a.changed = a.changedSince(was, moved)
	}
	if a.changed != nil {
		for k := range a.changed {
			st := a.in.Statuses[k]
			was.restore(k, storedSize(&st))
		}
	} else {
		*was = before{sizes: make(map[state.Key]int, len(a.in.Statuses)), models: was.models}
		for k, st := range a.in.Statuses {
			was.restore(k, storedSize(&st))
		}
	}
	a.stored = was.stored
}

// restore notes how much the status of an object keeps.
func (b *before) restore(k state.Key, size int) {
	b.stored += size - b.sizes[k]
	b.sizes[k] = size
}

// changedSince are the objects of which anything may be another; nil: all are to be looked at.
// moved are those of which units are others, which ends the rest of a model that was gone.
func (a *accepter) changedSince(was *before, moved []state.Key) map[state.Key]bool {
	changed := make(map[state.Key]bool, len(a.in.Restated))
	for k := range a.in.Restated {
		changed[k] = true
	}
	same.DiffPointers(was.entries, a.in.Entries, compareEntries, func(x, y *Entry) { changed[cmp.Or(x, y).Key] = true })
	for _, k := range moved {
		if m := a.memo.models[k]; m != nil && m.Deleted != nil {
			changed[k] = true
		}
	}
	come := 0
	for k := range changed {
		if _, stored := a.in.Statuses[k]; !stored && a.entryOf(k) == nil {
			return nil // it is gone
		}
		if _, there := slices.BinarySearchFunc(was.models, k, compareToKey); !there && k.Kind == state.KindModel {
			come++
		}
	}
	if come > newAtOnce {
		return nil
	}
	return changed
}

func compareToKey(m *acceptedModel, k state.Key) int { return m.key.Compare(k) }

func compareModels(x, y *acceptedModel) int { return x.key.Compare(y.key) }

// collectChanged brings the models of the call before to what has changed since.
func (a *accepter) collectChanged() {
	was := &a.memo.before
	list := sorted.Own(was.models, compareModels) // the memo's alone
	collect := func(k state.Key) {
		m := a.restedModel(k)
		if m == nil {
			m = a.collectModel(k)
			if was, found := list.Get(m); found && m.Status != nil && was.Status != nil && same.Bits(m.Status, was.Status) {
				m.Status = was.Status // what is the same stays at its place
			}
			a.restless = append(a.restless, m)
			list.Put(m, true)
		}
	}
	for k := range a.changed {
		if k.Kind == state.KindModel {
			collect(k)
		}
	}
	for _, k := range was.restless {
		if !a.changed[k] {
			collect(k)
		}
	}
	slices.SortFunc(a.restless, compareModels)
	a.models = list.List()
}

// within are those of a sorted list that belong to a server.
func within(models []*acceptedModel, server string) []*acceptedModel {
	from, _ := slices.BinarySearchFunc(models, server, func(m *acceptedModel, server string) int { return cmp.Compare(m.Server, server) })
	n, _ := slices.BinarySearchFunc(models[from:], server, func(m *acceptedModel, server string) int {
		return cmp.Or(cmp.Compare(m.Server, server), -1)
	})
	return models[from : from+n : from+n]
}

// list are the models that are desired, at the place of the list before where that is the
// same. Of some servers all were judged, of others what did not rest.
func (a *accepter) list() []*actors.DesiredModel {
	if a.changed == nil {
		return a.memo.relist(a.models)
	}
	p := sorted.Of(a.memo.listed, (*actors.DesiredModel).Compare)
	for _, m := range a.judged {
		if at, found := p.Get(&m.DesiredModel); found != m.listed || found && !same.Bits(at, &m.DesiredModel) {
			p.Put(new(m.DesiredModel), m.listed)
		}
	}
	a.memo.listed = p.List()
	return a.memo.listed
}

// relist makes the list from all models.
func (m *Memo) relist(models []*acceptedModel) []*actors.DesiredModel {
	n, asBefore := 0, m.listed != nil
	for _, x := range models {
		if x.listed {
			asBefore = asBefore && n < len(m.listed) && same.Bits(m.listed[n], &x.DesiredModel)
			n++
		}
	}
	if asBefore && n == len(m.listed) {
		return m.listed
	}
	was := sorted.Of(m.listed, (*actors.DesiredModel).Compare)
	m.listed = make([]*actors.DesiredModel, 0, n)
	for _, x := range models {
		if !x.listed {
			continue
		}
		d, found := was.Get(&x.DesiredModel)
		if !found || !same.Bits(d, &x.DesiredModel) {
			d = new(x.DesiredModel)
		}
		m.listed = append(m.listed, d)
	}
	return m.listed
}

// routedOf are the models that the routing of a server is resolved from; restless are those
// of it that do not rest, as no other can have come into them or left them.
func (a *accepter) routedOf(server string, models, restless []*acceptedModel) []router.Model {
	was := &a.memo.before
	set, known := was.routed[server]
	moved := func(m *acceptedModel) bool {
		return bears(m) || slices.ContainsFunc(set, func(x router.Model) bool { return x.Name == m.Name })
	}
	if !known || slices.ContainsFunc(restless, moved) {
		set = routedModels(models)
		if was.routed == nil {
			was.routed = map[string][]router.Model{}
		}
		was.routed[server] = set
	}
	return set
}

// remember has the next call go on from this one.
func (a *accepter) remember() {
	was := &a.memo.before
	was.is, was.entries, was.created, was.models = true, a.in.Entries, a.in.Created, a.models
	was.restless, was.looked = was.restless[:0], len(a.judged)
	for _, m := range a.judged {
		if !m.rests {
			was.restless = append(was.restless, m.key)
		}
	}
}
