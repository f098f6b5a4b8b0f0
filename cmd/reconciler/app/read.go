package app

import (
	"cmp"
	"slices"
	"time"

	"dynctl/actors/accept"
	"dynctl/state"
	"dynctl/state/kv"
)

const (
	// readFor is how long one round reads documents; the rest waits for the next one.
	readFor = 100 * time.Millisecond
	// readFresh is how many objects of which nothing is known yet are read in one
	// round: each is rendered and written to the disk, and a round has an end.
	readFresh = 512
	// loadAtOnce is how many values are fetched for the next round.
	loadAtOnce = 8
)

// decodedSpec is what one revision of a spec was read as.
type decodedSpec struct {
	revision uint64
	at       time.Time
	doc      state.Doc
	err      error
}

// reading turns the entries of the spec bucket into documents. What was accepted is
// not read again. Of a flood only part is read in a round; the rest is as if it had
// not been written yet.
type reading struct {
	loop     *loop
	created  time.Time // of the bucket
	statuses map[state.Key]state.Status
	units    []*state.Unit
	asked    int                // how often it was asked who owns units
	owners   map[state.Key]bool // what has units, once that was asked often
	deadline time.Time

	out    []*accept.Entry
	unread []unreadSpec
	fresh  int
	load   []*kv.SpecEntry // values that are needed and not there
	read   []*kv.SpecEntry // values that are not needed any more
}

type unreadSpec struct {
	*kv.SpecEntry
	key state.Key
	// known: leaving it out would look as if it were gone. housed: its server is known.
	known, housed bool
}

// all reads what is due. complete is false where something that cannot be left out
// could not be read either.
func (r *reading) all(entries []*kv.SpecEntry, refused map[string]error) (out []*accept.Entry, complete bool) {
	out, complete = r.choose(entries, refused)
	r.loop.app.views.Release(r.read...)
	r.loop.app.views.Load(r.load...)
	return out, complete
}

func (r *reading) choose(entries []*kv.SpecEntry, refused map[string]error) (out []*accept.Entry, complete bool) {
	r.out = make([]*accept.Entry, 0, len(entries))
	standing := make(map[string]bool, len(r.loop.decoded))
	for i, e := range entries {
		if x := r.loop.stands.known(entries, i); x != nil { // its value was let go when it was noted
			r.out = append(r.out, x)
			continue
		}
		key, err := e.Object()
		if err != nil {
			continue // the views leave these out
		}
		x := &accept.Entry{Key: key, Revision: e.Revision, Deleted: e.Deleted, Now: e.DeleteNow, Missing: e.Missing, At: e.At}
		d, had := r.loop.decoded[e.Key]
		switch {
		case refused[e.Key] != nil:
			x.Err = refused[e.Key]
			r.done(e)
		case e.Deleted:
			r.loop.stands.note(entries, i, x)
		case r.accepted(key, e, x):
			r.loop.stands.note(entries, i, x)
			r.done(e)
		case had && d.revision == e.Revision:
			standing[e.Key] = true
			x.Doc, x.Err = d.doc, d.err
		default:
			standing[e.Key] = had
			_, known := r.statuses[key]
			_, housed := r.statuses[state.ServerKey(key.Server)]
			r.unread = append(r.unread, unreadSpec{e, key, known || r.owns(key), housed})
			continue
		}
		r.out = append(r.out, x)
	}
	complete = r.due(standing)
	for key := range r.loop.decoded {
		if !standing[key] {
			delete(r.loop.decoded, key)
		}
	}
	return r.out, complete
}

// accepted fills in the document of a revision that its status says is accepted: it
// has it.
func (r *reading) accepted(key state.Key, e *kv.SpecEntry, x *accept.Entry) bool {
	st, ok := r.statuses[key]
	if !ok || st.AcceptedRevision != e.Revision || st.AcceptedIn.IsZero() || !st.AcceptedIn.Equal(r.created) ||
		len(st.AcceptedSpec) == 0 || len(st.Template) == 0 {
		return false
	}
	x.Doc = state.Doc{Raw: st.AcceptedSpec}
	return true
}

func (r *reading) done(e *kv.SpecEntry) {
	if len(e.Value) > 0 {
		r.read = append(r.read, e)
	}
}

// due reads documents: those of objects that are known, then small ones, of servers
// that are known before others, the last that was written first (whoever has just
// declared something waits for it; of a flood nobody does), then large ones.
func (r *reading) due(standing map[string]bool) (complete bool) {
	slices.SortFunc(r.unread, func(x, y unreadSpec) int {
		large := x.Size > kv.LargeSpec
		switch {
		case x.known != y.known:
			return first(x.known)
		case large != (y.Size > kv.LargeSpec):
			return first(!large)
		case large:
			return cmp.Compare(x.Size, y.Size)
		case x.housed != y.housed:
			return first(x.housed)
		}
		return cmp.Compare(y.Revision, x.Revision)
	})
	complete = true
	for _, u := range r.unread {
		before, had := r.loop.decoded[u.Key]
		switch {
		case r.take(u, had):
			standing[u.Key] = true
		case had: // the revision before stands until this one is read
			r.out = append(r.out, &accept.Entry{Key: u.key, Revision: before.revision, Doc: before.doc, Err: before.err, At: before.at})
		case u.known:
			complete = r.standIn(u) && complete
		}
	}
	return complete
}

// first orders what holds before what does not.
func first(holds bool) int {
	if holds {
		return -1
	}
	return 1
}

// take reads a document if that is due and its value is there.
func (r *reading) take(u unreadSpec, had bool) bool {
	if late := !time.Now().Before(r.deadline); late && (had || !u.known) || !u.known && r.fresh >= readFresh {
		r.loop.Kick()
		return false
	}
	tooLarge := state.CheckValueSize(u.Size) // and of no use
	if len(u.Value) == 0 && u.Size > 0 && tooLarge == nil {
		if len(r.load) < loadAtOnce && !u.Missing {
			r.load = append(r.load, u.SpecEntry)
		}
		return false
	}
	if !u.known {
		r.fresh++
	}
	d := decodedSpec{revision: u.Revision, at: u.At}
	doc, err := state.Doc{}, tooLarge
	if err == nil {
		doc, err = state.DecodeValue(u.key, u.Value)
	}
	if d.doc = doc.Detached(); err != nil {
		d.err = state.InvalidOf(err)
	}
	r.loop.decoded[u.Key] = d
	r.done(u.SpecEntry)
	r.out = append(r.out, &accept.Entry{Key: u.key, Revision: u.Revision, Missing: u.Missing, Doc: d.doc, Err: d.err, At: u.At})
	return true
}

// standIn has the accepted revision stand in for one that cannot be read yet.
func (r *reading) standIn(u unreadSpec) bool {
	st := r.statuses[u.key]
	if st.AcceptedRevision == 0 {
		return !r.owns(u.key)
	}
	r.out = append(r.out, &accept.Entry{Key: u.key, Revision: st.AcceptedRevision, Doc: state.Doc{Raw: st.AcceptedSpec},
		Missing: !state.SameBucket(st.AcceptedIn, r.created), At: u.At})
	return true
}

// fewOwners is how often the units are gone through for one object: to note what each of
// them belongs to costs as much as that.
const fewOwners = 16

// owns reports whether an object has units.
func (r *reading) owns(key state.Key) bool {
	if r.asked++; r.owners == nil && r.asked > fewOwners {
		r.owners = ownersOf(r.units)
	}
	if r.owners != nil {
		return r.owners[key]
	}
	for _, u := range r.units {
		if u.Server == key.Server && (key.Kind == state.KindServer || u.Model == key.Name) {
			return true
		}
	}
	return false
}

// ownersOf are the objects that have units.
func ownersOf(units []*state.Unit) map[state.Key]bool {
	out := map[state.Key]bool{}
	for _, u := range units {
		out[state.ServerKey(u.Server)] = true
		if u.Model != "" {
			out[state.ModelKey(u.Server, u.Model)] = true
		}
	}
	return out
}

// unreadable reports whether a document was read and is none; it takes no memory.
func (l *loop) unreadable(e *kv.SpecEntry) bool {
	d, ok := l.decoded[e.Key]
	return ok && d.revision == e.Revision && d.err != nil
}
