package main

import (
	"context"
	"errors"
	"time"

	"dynctl/actors"
	"dynctl/actors/accept"
	simulated "dynctl/actors/world"
	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/cmd/dynctl/internal/together"
	"dynctl/cmd/internal/parsers"
	"dynctl/state"
	"dynctl/state/kv"
)

// world is what the store and the agent say, read for one decision.
type world struct {
	now          time.Time
	rayNamespace string
	storeID      string
	entries      []*accept.Entry
	statuses     map[state.Key]state.Status
	observed     state.Observed
}

// loadWorld reads everything that a decision rests on.
func loadWorld(ctx context.Context, c *kv.Client) (*world, error) {
	w := &world{statuses: map[state.Key]state.Status{}}
	var reads together.Reads
	defer reads.Wait()
	ask := together.Begin(&reads, func() (state.Agent, error) { return c.GetAgent(ctx) })
	units := together.Begin(&reads, func() ([]*state.Unit, error) { return c.ListUnits(ctx) })
	nodes := together.Begin(&reads, func() ([]state.Node, error) { return c.ListNodes(ctx) })
	id := together.Begin(&reads, func() (string, error) { return c.StoreID(ctx) })
	read, unread := readStored(ctx, c)
	var err error
	if w.storeID, err = id(); err != nil {
		return nil, exit.Stored(err)
	}
	if unread != nil {
		return nil, unread
	}
	if err := w.loadSpecs(ctx, c, read); err != nil {
		return nil, err
	}
	agent, err := ask()
	if errors.Is(err, kv.ErrNotFound) {
		return nil, exit.Errorf(exit.Unreachable, "no agent has reported, so nothing is known of the cluster: see `dynctl doctor`")
	}
	if err != nil {
		return nil, exit.Stored(err)
	}
	w.observed = state.Observed{Synced: true, Agent: &agent}
	if w.observed.Units, err = units(); err != nil {
		return nil, exit.Stored(err)
	}
	if w.observed.Nodes, err = nodes(); err != nil {
		return nil, exit.Stored(err)
	}
	return w, nil
}

// loadSpecs reads specs and statuses. What has a status and no spec was deleted;
// its history says how.
func (w *world) loadSpecs(ctx context.Context, c *kv.Client, read stored) error {
	known := map[state.Key]bool{}
	for _, e := range read.specs {
		key, err := state.ParseKey(e.Key)
		if err != nil {
			continue
		}
		known[key] = true
		doc, err := state.DecodeValue(key, e.Value)
		w.entries = append(w.entries, &accept.Entry{Key: key, Revision: e.Revision, Doc: doc, Err: err, At: e.At})
	}
	for _, s := range read.statuses {
		key, err := state.ParseKey(s.Key)
		if err != nil {
			continue
		}
		w.statuses[key] = s
		if known[key] {
			continue
		}
		history, err := c.SpecHistory(ctx, key)
		if err != nil && !errors.Is(err, kv.ErrNotFound) {
			return exit.Stored(err)
		}
		if n := len(history); n > 0 && history[n-1].Deleted {
			last := history[n-1]
			w.entries = append(w.entries, &accept.Entry{Key: key, Revision: last.Revision, Deleted: true, Now: last.DeleteNow, At: last.At})
		}
	}
	return nil
}

// input is what the planner would see if the documents were written now.
func (w *world) input(docs []state.Doc) actors.Input {
	entries := append([]*accept.Entry(nil), w.entries...)
	var newest uint64
	for _, e := range entries {
		newest = max(newest, e.Revision)
	}
	for i, doc := range docs {
		fresh := &accept.Entry{Key: doc.Key(), Revision: newest + uint64(i) + 1, Doc: doc, At: w.now}
		at := -1
		for j, e := range entries {
			if e.Key == fresh.Key {
				at = j
			}
		}
		switch {
		case at < 0:
			entries = append(entries, fresh)
		case entries[at].Deleted || string(entries[at].Doc.Raw) != string(doc.Raw):
			entries[at] = fresh
		}
	}
	desired, _ := accept.Revisions(accept.Input{Synced: true, Entries: entries, Statuses: w.statuses, Units: w.observed.Units, Nodes: w.observed.Nodes,
		Parsers: new(parsers.Cache).Of(w.observed.Nodes)})
	policy := actors.DefaultPolicy(w.storeID)
	policy.RayNamespace = w.rayNamespace
	in := actors.Input{
		Policy:     policy,
		Now:        w.now,
		Desired:    desired,
		Observed:   w.observed,
		Registered: map[string]state.Registrations{},
		Frontends:  map[string]state.FrontendView{},
	}
	for _, s := range desired.Servers {
		in.Registered[s.Name], in.Frontends[s.Name] = w.serving(s, desired.Models)
	}
	return in
}

// serving stands in for what only the reconciler can ask: every worker that runs
// counts as registered, and every model with workers as listed.
func (w *world) serving(s actors.DesiredServer, models []*actors.DesiredModel) (state.Registrations, state.FrontendView) {
	regs := state.Registrations{Known: true}
	served := map[string]string{}
	for _, m := range models {
		if m.Server == s.Name {
			served[m.Name] = m.Spec.ServedNameOrModel()
		}
	}
	for _, u := range w.observed.Units {
		if u.Server == s.Name && u.Model != "" && u.State == state.UnitRunning && len(u.Actors) > 0 {
			regs.Instances = append(regs.Instances, simulated.Instance(s.Spec.DynamoNamespace, served[u.Model], *u, u.Actors[0].Lease))
		}
	}
	return regs, simulated.Listed(s.Name, models, regs.Instances, func(string) bool { return false })
}
