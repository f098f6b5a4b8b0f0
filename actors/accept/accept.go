package accept

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"dynctl/actors"
	"dynctl/actors/render"
	"dynctl/state"
	"dynctl/state/engineflags"
	"dynctl/state/policy"
)

// Entry is one key of the spec bucket, decoded.
type Entry struct {
	Key      state.Key
	Revision uint64
	// Doc is the decoded document; Err says why it could not be decoded. Neither is
	// set for a delete marker.
	Doc state.Doc
	Err error
	// Deleted: the entry is a delete or purge marker, written At; Now: dynctl did it.
	Deleted, Now bool
	// Missing: the bucket has lost the entry, which was there, without a delete marker.
	Missing bool
	At      time.Time
}

// Input is what acceptance rests on.
type Input struct {
	// Synced is true once specs and statuses are fully loaded.
	Synced bool
	// Entries are of one key each, and nobody changes one any more. Beside a memo what has not
	// changed is best handed on at its place.
	Entries  []*Entry
	Statuses map[state.Key]state.Status
	// Restated are the objects of which the status may be another than in the call before
	// with the same memo; nil: those of any.
	Restated map[state.Key]bool
	// Confirmed holds, by server, the revision up to which deletes are confirmed.
	Confirmed map[string]uint64
	// Units are the observed units: a server with workers does not move its etcd.
	Units []*state.Unit
	// Nodes tell which Dynamo they have: an old one's workers carry no routing.
	Nodes []state.Node
	// Parsers are the command lines that the nodes take, as far as they are known: a
	// new revision is checked against them and rendered by them.
	Parsers engineflags.Set
	// Policy is what new revisions may ask for; nil: anything. What was accepted before
	// goes on whatever it says, and is warned of.
	Policy *policy.Policy
	// Created is when the spec bucket was made: revisions of another mean nothing.
	Created time.Time
	// Recover: what was accepted of an object whose status is lost is told by what runs.
	Recover bool
	// Observed: the units are all that there are.
	Observed bool
	// StoreID: units of other stores are nobody's; empty: all are ours.
	StoreID string
	// Lost are the objects in the place of whose status something unreadable stands.
	Lost map[state.Key]bool
	// Past holds the revisions that are left of objects whose history was asked for
	// ([actors.Desired.Awaited]); one that has not been read is not in it.
	Past map[state.Key][]Entry
	// MaxStatus is how many bytes a spec and what is rendered from it may have
	// together, so that the store takes the status; 0: any number.
	MaxStatus int
	// MaxStored is how many bytes the specs and what is rendered from them may have
	// together; 0: any number.
	MaxStored int
	// Memo, if any, is carried from round to round.
	Memo *Memo
}

// storedTemplates is what a status keeps for the planner. See [actors.DesiredModel] for Previous
// and Others.
type storedTemplates struct {
	Model    *actors.ModelTemplate  `json:"model,omitempty"`
	Previous *actors.ModelTemplate  `json:"previous,omitempty"`
	Others   []actors.ModelTemplate `json:"others,omitempty"`
	Server   *actors.ServerTemplate `json:"server,omitempty"`
}

// Revisions decides for every object which revision runs, and what that is. A
// revision that is not valid, or that conflicts with what is accepted, leaves
// the accepted one running; an entry that is missing is not deleted. What was
// rendered for an accepted revision is taken from its status, so a new version
// of this program changes nothing that runs.
//
// It returns the desired state and, by key, the accepted document and template
// to be stored in the status, which are the caller's until the next call with the same memo.
func Revisions(in Input) (actors.Desired, map[state.Key]Kept) {
	a := newAccepter(in)
	a.releases = render.ReleasesOn(in.Nodes)
	a.memo.forget(in.Statuses)
	a.memo.parsers(in.Parsers)
	a.memo.policy(in.Policy)
	a.notice()
	a.collectServers()
	a.collectModels()
	if in.Recover {
		a.recoverServers()
	}
	a.acceptServers()
	if in.Recover {
		a.recoverModels()
	}
	a.acceptModels()
	d := a.desired()
	a.dismiss()
	a.remember()
	return d, a.kept
}

// Kept is what the status of an object keeps beside its conditions.
type Kept struct {
	Spec     json.RawMessage
	Template json.RawMessage
}

type accepter struct {
	in       Input
	memo     *Memo           // the caller's, or one for this round alone
	releases render.Releases // of Dynamo, on the nodes
	cursor   int             // the place in in.Entries where the next is looked for first
	// changed are the objects that may be others than in the call before; nil: any may.
	changed map[state.Key]bool
	servers map[string]*acceptedServer
	// models are all, by server and name; restless those of them that were not taken from
	// the call before, and judged those of which it was asked whether they rest from now on.
	models, restless, judged []*acceptedModel
	kept                     map[state.Key]Kept
	awaited                  []state.Key
	stored                   int                          // bytes of specs and templates, see MaxStored
	usage                    map[string]policy.Usage      // by server, see usageOf
	etcds                    map[string][]*acceptedServer // see etcdsOf
}

type acceptedServer struct {
	actors.DesiredServer
	object state.Server // accepted, with defaults
	raw    json.RawMessage
	stored storedTemplates
	// recovered: what was accepted is told by what runs; forced is the generation that
	// runs where no revision renders to it.
	recovered bool
	forced    string
	restingServer
}

type acceptedModel struct {
	actors.DesiredModel
	key    state.Key
	object state.Model
	raw    json.RawMessage
	stored storedTemplates
	entry  *Entry
	// recovered is as in acceptedServer.
	recovered bool
	// before is what ran until this round accepted another revision.
	before *acceptedModel
	// claims are those that are noted of it.
	claims []string
	basis  basis
	resting
}

func (a *accepter) statusOf(k state.Key) *state.Status {
	if s, ok := a.in.Statuses[k]; ok {
		return &s
	}
	return nil
}

// collectServers finds every server that a spec, a status, a model or a unit names.
func (a *accepter) collectServers() {
	a.servers = make(map[string]*acceptedServer, len(a.memo.there))
	if a.changed != nil {
		for name := range a.memo.there {
			a.collectServer(name)
		}
		for k := range a.changed {
			a.collectServer(k.Server)
		}
		return
	}
	last := ""
	collect := func(server string) {
		if server != last { // most are of the one before
			a.collectServer(server)
		}
		last = server
	}
	for i := range a.in.Entries {
		collect(a.in.Entries[i].Key.Server)
	}
	for k := range a.in.Statuses {
		collect(k.Server)
	}
}

func (a *accepter) collectServer(name string) {
	if a.servers[name] != nil {
		return
	}
	if s := a.restedServer(name); s != nil {
		a.servers[name] = s
		return
	}
	s := &acceptedServer{object: state.DefaultedServer(name)}
	s.Name = name
	s.Status = a.statusOf(state.ServerKey(name))
	if s.Status != nil {
		r := a.memo.read(state.ServerKey(name), s.Status)
		s.stored = r.stored
		s.Revision, s.RevisionIn = s.Status.ObservedRevision, s.Status.ObservedIn
		if r.object.Server != nil && s.Status.AcceptedRevision != 0 {
			s.object, s.raw, s.decoded = *r.object.Server, s.Status.AcceptedSpec, r.object.Server
			s.Accepted, s.Explicit, s.AcceptedIn = s.Status.AcceptedRevision, true, s.Status.AcceptedIn
		}
	}
	delete(a.kept, state.ServerKey(name))
	s.entry = a.entryOf(state.ServerKey(name))
	a.servers[name] = s
}

func readStored(raw json.RawMessage) (s storedTemplates) {
	// A template that this version cannot read is rendered again.
	if len(raw) > 0 && json.Unmarshal(raw, &s) != nil {
		return storedTemplates{}
	}
	return s
}

// keptSpec decodes the accepted document of a status. A newer version of this program may
// have accepted it: what is unknown here is left out, for what runs is told by the template.
// One of an apiVersion that is not read here is none.
func keptSpec(st *state.Status) (state.Doc, bool) {
	if len(st.AcceptedSpec) == 0 {
		return state.Doc{}, false
	}
	docs, err := state.DecodeEach(st.Key, st.AcceptedSpec)
	if err != nil || len(docs) != 1 || docs[0].Doc.Object == (state.Object{}) {
		return state.Doc{}, false
	}
	return docs[0].Doc, true
}

func (a *accepter) collectModels() {
	if a.changed != nil {
		a.collectChanged()
		return
	}
	keys := a.modelKeys()
	a.models = make([]*acceptedModel, 0, len(keys))
	for _, k := range keys {
		m := a.restedModel(k)
		if m == nil {
			m = a.collectModel(k)
			a.restless = append(a.restless, m)
		}
		a.models = append(a.models, m)
	}
}

func (a *accepter) collectModel(k state.Key) *acceptedModel {
	delete(a.kept, k)
	m := &acceptedModel{key: k}
	m.Server, m.Name = k.Server, k.Name
	m.Status = a.statusOf(k)
	if m.Status != nil {
		r := a.memo.read(k, m.Status)
		m.stored = r.stored
		m.Revision, m.RevisionIn = m.Status.ObservedRevision, m.Status.ObservedIn
		if r.object.Model != nil {
			m.object, m.raw, m.Accepted = *r.object.Model, m.Status.AcceptedSpec, m.Status.AcceptedRevision
			m.AcceptedIn = m.Status.AcceptedIn
		}
	}
	if e := a.entryOf(k); e != nil {
		if m.Revision = e.Revision; !e.Missing {
			m.RevisionIn = a.in.Created
		}
		m.entry = e
		if e.Deleted {
			m.Deleted = a.deletion(*e)
		}
	}
	m.SpecMissing = m.Accepted != 0 && (m.entry == nil || m.entry.Missing)
	if m.Accepted != 0 {
		a.memo.claim(m)
	}
	return m
}

func (a *accepter) deletion(e Entry) *actors.Deletion {
	return &actors.Deletion{Revision: e.Revision, At: e.At, Now: e.Now, Confirmed: e.Revision <= a.in.Confirmed[e.Key.Server]}
}

// acceptServers takes new revisions of servers, oldest first.
func (a *accepter) acceptServers() {
	names := slices.SortedFunc(maps.Keys(a.servers), func(x, y string) int {
		return cmp.Or(cmp.Compare(a.revisionOf(state.ServerKey(x)), a.revisionOf(state.ServerKey(y))), cmp.Compare(x, y))
	})
	for _, name := range names {
		if s := a.servers[name]; !s.rests {
			a.acceptServer(s, a.entryOf(state.ServerKey(name)))
		}
	}
}

// acceptServer takes a new revision of one server, if there is one; e is its entry, if any.
func (a *accepter) acceptServer(s *acceptedServer, e *Entry) {
	s.SpecMissing = s.Explicit && (e == nil || e.Missing)
	if e == nil {
		return
	}
	s.Revision = e.Revision
	if s.Recovering || e.Missing && s.Accepted != 0 {
		return
	}
	s.RevisionIn = a.in.Created
	if e.Deleted {
		s.Deleted = a.deletion(*e)
		return
	}
	if e.Err == nil && s.Accepted == e.Revision && state.SameBucket(s.AcceptedIn, a.in.Created) && sameDoc(s.raw, e.Doc.Raw) {
		s.AcceptedIn = a.in.Created
		return
	}
	object, rejection := a.checkServer(s, *e)
	if rejection != nil {
		s.Rejected = rejection
		return
	}
	s.object, s.raw, s.Accepted, s.Explicit, s.acceptedNow = object, e.Doc.Raw, e.Revision, true, true
	a.claimEtcd(s)
	s.AcceptedIn = a.in.Created
}

func sameDoc(x, y json.RawMessage) bool {
	if bytes.Equal(x, y) {
		return len(x) > 0
	}
	var bx, by bytes.Buffer
	if json.Compact(&bx, x) != nil || json.Compact(&by, y) != nil {
		return false
	}
	return bytes.Equal(bx.Bytes(), by.Bytes())
}

// acceptModels takes new revisions of models, oldest first: who came first keeps
// its names.
func (a *accepter) acceptModels() {
	byAge := slices.SortedFunc(slices.Values(a.restless), func(x, y *acceptedModel) int {
		return cmp.Or(cmp.Compare(x.Revision, y.Revision), x.key.Compare(y.key))
	})
	for _, m := range byAge {
		if m.entry == nil || m.Deleted != nil || m.Recovering {
			continue
		}
		e := *m.entry
		if e.Missing && m.Accepted != 0 {
			continue
		}
		if e.Err == nil && m.Accepted == e.Revision && state.SameBucket(m.AcceptedIn, a.in.Created) && sameDoc(m.raw, e.Doc.Raw) {
			m.AcceptedIn = a.in.Created
			continue
		}
		if e.Err != nil {
			m.Rejected = rejectionOf(e.Err)
			continue
		}
		object := e.Doc.Object.Model.WithDefaults()
		if bad := a.checkModel(m, object); len(bad) > 0 {
			m.Rejected = joinInvalid(bad)
			continue
		}
		before := *m
		m.before = &before
		a.spend(m, object)
		m.object, m.raw, m.Accepted = object, e.Doc.Raw, e.Revision
		a.memo.claim(m)
		m.AcceptedIn = a.in.Created
	}
}
