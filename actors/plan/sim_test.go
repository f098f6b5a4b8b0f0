package plan_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"dynctl/actors"
	"dynctl/actors/accept"
	"dynctl/actors/world"
	"dynctl/state"
)

// cluster is a simulated one: Ray, the agent, Dynamo's etcd and its frontend,
// as far as the planner can see them. Time is a number.
type cluster struct {
	now      time.Time
	revision uint64
	specs    map[state.Key]accept.Entry
	// handedOut are the entries of specs as acceptance was last given them.
	handedOut map[state.Key]*accept.Entry
	statuses  map[state.Key]state.Status
	units     map[state.UnitKey]*state.Unit
	gone      map[state.UnitKey]uint64
	lastGone  time.Time
	nodes     []state.Node
	lease     int64
	// instances by server.
	instances    map[string]map[int64]state.Instance
	lost         map[string][]int64 // with etcd's data
	gates        map[int64]simGate  // by lease
	whole        map[actors.GenerationKey]actors.Whole
	suspects     map[state.UnitKey]time.Time
	unclaimed    map[actors.LeaseKey]time.Time
	incarnation  uint64 // of the agent
	agentAway    bool
	agentFailure *state.AgentFailure
	etcdAway     bool
	// frontendAway: the frontend gives no answer, and serves.
	frontendAway bool
	unsynced     bool
	drains       bool // a unit that stops never ends
	// lags: Ray tells what is free as it was a second ago.
	lags    bool
	counted map[string]int // GPUs in use then, by node
	// broken generations exit at once when executed; of those in brokenRole one role does.
	broken     map[string]bool
	brokenRole map[string]string
	journal    []string
	// pending is since when a group waits for room.
	pending   map[state.UnitKey]time.Time
	confirmed map[string]uint64 // by server
	past      map[state.Key][]accept.Entry
	created   time.Time // the spec bucket
	// What was accepted, while nothing has changed that it rests on.
	caching, changed bool
	lasting          lasting // what is remembered
	desired          actors.Desired
	kept             map[state.Key]accept.Kept
}

func newCluster(nodes ...state.Node) *cluster {
	return &cluster{
		now: time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC), nodes: nodes,
		specs: map[state.Key]accept.Entry{}, statuses: map[state.Key]state.Status{},
		units: map[state.UnitKey]*state.Unit{}, gone: map[state.UnitKey]uint64{},
		instances: map[string]map[int64]state.Instance{}, lost: map[string][]int64{}, broken: map[string]bool{}, brokenRole: map[string]string{},
		gates: map[int64]simGate{}, pending: map[state.UnitKey]time.Time{}, confirmed: map[string]uint64{}, changed: true, incarnation: 1,
	}
}

func node(id string, gpus int) state.Node {
	return state.Node{ID: id, IP: "10.0.0." + id, GPUs: gpus, CPUs: 64, Alive: true, Labels: map[string]string{"ray.io/node-type": "worker"}}
}

func (w *cluster) next() uint64 { w.revision++; return w.revision }

// put writes a spec as dynctl would.
func (w *cluster) put(yaml string) state.Key {
	docs, err := state.Decode("test.yaml", []byte(yaml))
	if err != nil {
		panic(err)
	}
	d := docs[0]
	var key state.Key
	if d.Object.Server != nil {
		key = state.ServerKey(d.Object.Server.Metadata.Name)
	} else {
		server := d.Object.Model.Metadata.Server
		if server == "" {
			server = state.DefaultServer
		}
		key = state.ModelKey(server, d.Object.Model.Metadata.Name)
	}
	w.specs[key] = accept.Entry{Key: key, Revision: w.next(), Doc: d, At: w.now}
	w.changed = true
	return key
}

func (w *cluster) delete(key state.Key, now bool) {
	w.specs[key] = accept.Entry{Key: key, Revision: w.next(), Deleted: true, Now: now, At: w.now}
	w.changed = true
}

func model(name, extra string) string {
	return "apiVersion: dynctl/v1alpha1\nkind: Model\nmetadata: {name: " + name + "}\nspec:\n  model: " + name + "\n  engine: mocker\n" + extra
}

func (w *cluster) input() (actors.Input, map[state.Key]accept.Kept) {
	observed := state.Observed{Synced: !w.unsynced, Gone: maps.Clone(w.gone), LastGone: w.lastGone, Nodes: slices.Clone(w.nodes),
		Agent: &state.Agent{Incarnation: w.incarnation, Synced: true, At: w.now, Session: "s"}}
	if w.agentAway {
		observed.Agent.At = w.now.Add(-time.Minute)
	}
	if w.lags {
		for i, n := range observed.Nodes {
			free := float64(n.GPUs - w.counted[n.ID])
			observed.Nodes[i].FreeGPUs = &free
		}
	}
	for _, k := range sortedKeys(w.units) {
		u := *w.units[k] // the planner changes nothing of it, and tests see to that
		u.Actors = slices.Clone(u.Actors)
		observed.Units = append(observed.Units, &u)
	}
	desired, kept := w.accept(observed.Units)
	in := actors.Input{Now: w.now, Desired: desired, Observed: observed, Suspects: w.suspects, Unclaimed: w.unclaimed, Whole: w.whole, AgentFailure: w.agentFailure,
		Registered: map[string]state.Registrations{}, Frontends: map[string]state.FrontendView{},
		Policy: actors.Policy{StoreID: "store", RayNamespace: "ns", PlacementTimeout: 180 * time.Second,
			DeleteHold: 10 * time.Second, SweepLook: time.Second, AgentTimeout: 3 * time.Second}}
	for _, s := range desired.Servers {
		in.Registered[s.Name] = w.registrations(s.Name)
		in.Frontends[s.Name] = w.frontend(s, desired)
	}
	return in, kept
}

// accept makes the desired state. A walk, which says what it changes, takes what it had
// while nothing did.
func (w *cluster) accept(units []*state.Unit) (actors.Desired, map[state.Key]accept.Kept) {
	if w.caching && !w.changed {
		return w.desired, w.kept
	}
	w.desired, w.kept = w.lasting.accept(accept.Input{Synced: true, Entries: w.entries(),
		Statuses: w.statuses, Units: units, Nodes: w.nodes, Recover: true, Observed: !w.unsynced, Past: w.past, Created: w.created, Confirmed: w.confirmed})
	w.changed = false
	return w.desired, w.kept
}

func clone(u state.Unit) state.Unit {
	b, err := json.Marshal(u)
	if err != nil {
		panic(err)
	}
	var out state.Unit
	if err := json.Unmarshal(b, &out); err != nil {
		panic(err)
	}
	out.Revision = u.Revision
	return out
}

func sortedKeys(m map[state.UnitKey]*state.Unit) []state.UnitKey {
	return slices.SortedFunc(maps.Keys(m), state.UnitKey.Compare)
}

func (w *cluster) infraUp(server string) bool {
	u := w.units[state.UnitKey{Server: server, Unit: actors.InfraUnit}]
	return u != nil && u.State == state.UnitRunning
}

func (w *cluster) registrations(server string) state.Registrations {
	if w.etcdAway || !w.infraUp(server) {
		return state.Registrations{Err: "away"}
	}
	r := state.Registrations{Known: true}
	for _, l := range slices.Sorted(maps.Keys(w.instances[server])) {
		r.Instances = append(r.Instances, w.instances[server][l])
	}
	for _, l := range slices.Sorted(maps.Keys(w.gates)) {
		if g := w.gates[l]; g.server == server {
			r.Gates = append(r.Gates, state.Gate{Namespace: g.namespace, Lease: l})
		}
	}
	r.Lost = w.lost[server]
	return r
}

// frontend lists what is registered: a model is ready in a generation when every
// role of that generation has a worker.
func (w *cluster) frontend(s actors.DesiredServer, d actors.Desired) state.FrontendView {
	if w.frontendAway || !w.infraUp(s.Name) {
		return state.FrontendView{Err: "away"}
	}
	instances := slices.Collect(maps.Values(w.instances[s.Name]))
	return world.Listed(s.Name, d.Models, instances, func(namespace string) bool { return w.gated(s.Name, namespace) })
}

// round plans once and applies the plan as the agent would.
func (w *cluster) round() actors.Result {
	in, kept := w.input()
	r := w.lasting.plan(in)
	w.carryOut(r, kept)
	return r
}

func (w *cluster) carryOut(r actors.Result, kept map[state.Key]accept.Kept) {
	w.suspects, w.unclaimed, w.whole = r.Suspects, r.Unclaimed, r.Whole
	w.carryGates(r)
	for _, x := range r.Revokes {
		delete(w.instances[x.Key.Server], x.Lease)
		w.note("revoke %s %s", x.Key, x.Reason)
	}
	for _, s := range r.Starts {
		w.apply(s)
	}
	for _, s := range r.Stops {
		w.end(s.Key, s.Reason)
	}
	for _, s := range r.Sweeps {
		w.end(s.Key, s.Reason)
	}
	w.store(r, kept)
}

// store writes what is said of the objects, and nothing else.
func (w *cluster) store(r actors.Result, kept map[state.Key]accept.Kept) {
	for _, planned := range r.Statuses {
		s := *planned
		key, err := state.ParseKey(s.Key)
		if err != nil {
			panic(err)
		}
		s.AcceptedSpec, s.Template = kept[key].Spec, kept[key].Template
		if was, ok := w.statuses[key]; ok && sameStatus(was, s) {
			continue
		}
		s.Revision = w.next()
		w.statuses[key] = s
		w.changed = true
	}
	for _, k := range r.Gone {
		delete(w.statuses, k)
		w.changed = true
	}
}

// sameStatus compares all but the revision.
func sameStatus(a, b state.Status) bool {
	if !a.AcceptedIn.Equal(b.AcceptedIn) || !a.ObservedIn.Equal(b.ObservedIn) ||
		a.ObservedRevision != b.ObservedRevision || a.AcceptedRevision != b.AcceptedRevision || a.Generation != b.Generation ||
		a.Endpoint != b.Endpoint || !slices.Equal(a.Conditions, b.Conditions) || !slices.Equal(a.Placements, b.Placements) ||
		!bytes.Equal(a.Template, b.Template) || !bytes.Equal(a.AcceptedSpec, b.AcceptedSpec) {
		return false
	}
	return reflect.DeepEqual(a.Roles, b.Roles) && reflect.DeepEqual(a.Router, b.Router)
}

func (w *cluster) note(format string, args ...any) {
	w.journal = append(w.journal, fmt.Sprintf("%s ", w.now.Format("15:04:05"))+fmt.Sprintf(format, args...))
	if len(w.journal) > 60 {
		w.journal = w.journal[1:]
	}
}

func (w *cluster) apply(s actors.Start) {
	k := state.UnitKey{Server: s.Template.Server, Unit: s.Template.Unit}
	w.note("start %s %s %v", k, s.Reason, s.Attempts)
	was := w.units[k]
	u := world.Started(was, s, "store")
	if was != nil {
		for _, a := range was.Actors {
			if !slices.ContainsFunc(u.Actors, func(x state.Actor) bool { return x.Lease == a.Lease }) {
				w.unregister(u.Server, a.Lease)
			}
		}
	}
	if u.PlacementGroup.State == state.GroupPending {
		w.units[k], w.pending[k], w.changed = &u, w.now, true
	} else {
		*was = u
	}
	w.settleState(w.units[k])
}

func (w *cluster) unregister(server string, lease int64) { delete(w.instances[server], lease) }

func (w *cluster) end(k state.UnitKey, reason string) {
	w.note("end %s %s", k, reason)
	if u := w.units[k]; u != nil {
		if u.State == state.UnitStopping {
			return
		}
		u.State = state.UnitStopping
		u.Revision = w.next()
		for i := range u.Actors {
			w.unregister(u.Server, u.Actors[i].Lease)
		}
	}
}

// run makes rounds and ticks for a number of seconds.
func (w *cluster) run(seconds int) {
	for range seconds {
		w.round()
		w.tick()
	}
	w.round()
}

func (w *cluster) condition(key state.Key, typ string) state.Condition {
	s := w.statuses[key]
	c, _ := s.Condition(typ)
	return c
}

// of lists the units of a model.
func (w *cluster) of(name string) []*state.Unit {
	var out []*state.Unit
	for _, k := range sortedKeys(w.units) {
		if w.units[k].Model == name {
			out = append(out, w.units[k])
		}
	}
	return out
}
