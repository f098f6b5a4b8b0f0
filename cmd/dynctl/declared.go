package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"dynctl/actors/accept"
	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/router"
	"dynctl/state"
	"dynctl/state/kv"
)

// declared is a set of specs, with defaults: what the store holds, and what files
// would change of it.
type declared struct {
	servers map[string]state.Server
	models  map[state.Key]state.Model
	names   state.ModelIndex // of the models
	stored  map[state.Key]kv.SpecEntry
	// raw holds the stored documents as JSON.
	raw map[state.Key][]byte
	// given are the objects that the files declare; before are the servers as they
	// were without them.
	given  map[state.Key]bool
	before map[string]state.Server
}

func newDeclared() *declared {
	return &declared{
		servers: map[string]state.Server{},
		models:  map[state.Key]state.Model{},
		stored:  map[state.Key]kv.SpecEntry{},
		raw:     map[state.Key][]byte{},
		given:   map[state.Key]bool{},
	}
}

// loadDeclared reads the store. A value that is no valid document asks for
// nothing, and clashes with nothing.
func loadDeclared(ctx context.Context, c *kv.Client) (*declared, error) {
	entries, err := c.ListSpecs(ctx)
	if err != nil {
		return nil, exit.Stored(err)
	}
	d := newDeclared()
	for _, e := range entries {
		key, err := state.ParseKey(e.Key)
		if err != nil || e.Deleted {
			continue
		}
		d.stored[key] = e
		if doc, err := state.DecodeValue(key, e.Value); err == nil {
			d.put(doc)
			d.raw[key] = doc.Raw
		}
	}
	d.passOverRejected(ctx, c)
	return d, nil
}

// passOverRejected leaves out of the names that are taken those of models that clash with
// another one and were rejected as they stand: they have no name, and who came first can
// still be changed. One whose status cannot be read keeps its names.
func (d *declared) passOverRejected(ctx context.Context, c *kv.Client) {
	var rejected []state.Key
	for key, m := range d.models {
		if d.names.Conflict(m) == nil {
			continue
		}
		s, err := c.GetStatus(ctx, key)
		if revision := d.stored[key].Revision; err == nil && s.ObservedRevision == revision && s.AcceptedRevision != revision {
			rejected = append(rejected, key)
		}
	}
	for _, key := range rejected {
		d.names.Remove(key)
	}
}

func (d *declared) put(doc state.Doc) {
	key := doc.Key()
	if s := doc.Object.Server; s != nil {
		d.servers[key.Server] = s.WithDefaults()
		return
	}
	d.models[key] = doc.Object.Model.WithDefaults()
	d.names.Put(d.models[key])
}

// server is the spec of a server, or the defaults of one that no spec describes.
func (d *declared) server(name string) state.Server {
	if s, ok := d.servers[name]; ok {
		return s
	}
	return state.DefaultedServer(name).WithDefaults()
}

// validate puts the documents into the set and returns every rule that they
// break, each with its place; nil when they break none.
func (d *declared) validate(docs []state.Doc) error {
	d.before = maps.Clone(d.servers)
	for _, doc := range docs {
		d.put(doc)
		d.given[doc.Key()] = true
	}
	var errs []error
	for _, doc := range docs {
		for _, invalid := range d.check(doc.Key()) {
			errs = append(errs, doc.Place(invalid))
		}
	}
	if err := state.JoinFaults(errs...); err != nil {
		return exit.Usagef("%w", err)
	}
	return nil
}

// warnings are those of valid documents of the set; of all its objects where there
// are no documents.
func (d *declared) warnings(docs []state.Doc) []state.Warning {
	var keys []state.Key
	for _, doc := range docs {
		keys = append(keys, doc.Key())
	}
	if len(docs) == 0 {
		for name := range d.servers {
			keys = append(keys, state.ServerKey(name))
		}
		keys = slices.AppendSeq(keys, maps.Keys(d.models))
		slices.SortFunc(keys, state.Key.Compare)
	}
	out := []state.Warning{}
	routed := d.routed()
	for _, key := range keys {
		server := d.server(key.Server)
		if key.Kind == state.KindServer {
			out = append(out, accept.WarnServer(server, routed[key.Server])...)
		} else {
			out = append(out, accept.WarnModel(d.models[key], server.Spec)...)
		}
	}
	return out
}

// routed are the models of each server, by name, as they count for its routing.
func (d *declared) routed() map[string][]router.Model {
	out := map[string][]router.Model{}
	for _, key := range slices.SortedFunc(maps.Keys(d.models), state.Key.Compare) {
		out[key.Server] = append(out[key.Server], router.Model{Name: key.Name, Spec: d.models[key].Spec})
	}
	return out
}

// check returns the rules that one object of the set breaks.
func (d *declared) check(key state.Key) []*state.Invalid {
	if key.Kind == state.KindServer {
		return d.checkServer(d.servers[key.Server])
	}
	m, server := d.models[key], d.server(key.Server)
	if found := checkModel(key.Name, m, server); len(found) > 0 {
		return found
	}
	if invalid := d.names.Conflict(m); invalid != nil {
		return []*state.Invalid{invalid}
	}
	return nil
}

func (d *declared) checkServer(s state.Server) []*state.Invalid {
	found := state.ValidateServer(s)
	if len(found) > 0 {
		return found
	}
	var others []state.Server
	for _, name := range d.neighbours(s) {
		if name != s.Metadata.Name {
			others = append(others, d.servers[name])
		}
	}
	if invalid := state.ConflictServers(s, others); invalid != nil {
		return []*state.Invalid{invalid}
	}
	return d.checkModelsUnder(s)
}

// neighbours are the servers that one could share its etcd with: a managed one is
// its own alone.
func (d *declared) neighbours(s state.Server) []string {
	if s.Spec.Etcd.Endpoint == "" {
		return nil
	}
	return slices.Sorted(maps.Keys(d.servers))
}

// checkModelsUnder finds the first stored model that would no longer be valid under
// a server: the reconciler refuses such a server. One that is not valid as it is
// stands in nobody's way.
func (d *declared) checkModelsUnder(s state.Server) []*state.Invalid {
	before, ok := d.before[s.Metadata.Name]
	if !ok {
		before = state.DefaultedServer(s.Metadata.Name)
	}
	for _, key := range slices.SortedFunc(maps.Keys(d.models), state.Key.Compare) {
		if key.Server != s.Metadata.Name || d.given[key] {
			continue
		}
		found := checkModel(key.Name, d.models[key], s)
		if len(found) > 0 && len(checkModel(key.Name, d.models[key], before)) == 0 {
			return []*state.Invalid{{
				Reason:  found[0].Reason,
				Path:    "spec",
				Message: fmt.Sprintf("with it %s would not be valid: %s", refOf(key), found[0].Message),
			}}
		}
	}
	return nil
}

func checkModel(name string, m state.Model, server state.Server) []*state.Invalid {
	found := state.ValidateModel(m, server.Spec)
	if len(found) > 0 {
		return found
	}
	if invalid := router.Check(server.Spec.Router, router.Model{Name: name, Spec: m.Spec}); invalid != nil {
		return []*state.Invalid{invalid}
	}
	return nil
}

// validateEdit checks a document that this program made of a stored one, against
// the store. It has no file whose line could be named.
func validateEdit(ctx context.Context, c *kv.Client, key state.Key, raw []byte) error {
	doc, err := state.DecodeValue(key, raw)
	if err != nil {
		return exit.Usagef("%s: %w", refOf(key), err)
	}
	d, err := loadDeclared(ctx, c)
	if err != nil {
		return err
	}
	d.put(doc)
	var errs []error
	for _, invalid := range d.check(key) {
		errs = append(errs, invalid)
	}
	if err := state.JoinFaults(errs...); err != nil {
		return exit.Usagef("%s: %w", refOf(key), err)
	}
	return nil
}
