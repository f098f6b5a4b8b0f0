package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

const tinyModel = "/tmp/dynctl-tiny-model"

// model is what is declared of one model now.
type model struct {
	name     string
	replicas int
	disagg   bool
	seqs     int    // an engine argument whose change makes a new generation
	extra    string // more engine arguments
	lines    string // more lines of the spec
	deleted  bool
	// servable: clients ask it.
	servable bool
}

func (m model) document() string {
	replicas := fmt.Sprintf("replicas: %d", m.replicas)
	if m.disagg {
		replicas = fmt.Sprintf("mode: disagg\n  prefill: {replicas: %d}\n  decode: {replicas: %d}", m.replicas, m.replicas)
	}
	return fmt.Sprintf("---\napiVersion: dynctl/v1alpha1\nkind: Model\nmetadata: {name: %s, server: %s}\nspec:\n"+
		"  model: %s\n  servedName: %s\n  engine: mocker\n  engineArgs: {max_num_seqs: %d%s}\n  terminationGracePeriod: 30s\n  %s\n%s",
		m.name, server, tinyModel, m.name, m.seqs, m.extra, replicas, m.lines)
}

// declareFleet declares everything and waits until it serves.
func (w *world) declareFleet(ctx context.Context) error {
	w.fleet = map[string]*model{
		"alpha":  {name: "alpha", replicas: 2, seqs: 256, servable: true},
		"beta":   {name: "beta", replicas: 1, seqs: 256, servable: true},
		"gamma":  {name: "gamma", replicas: 2, seqs: 256, servable: true, lines: "  router: {mode: kv, kvEvents: false}\n"},
		"split":  {name: "split", replicas: 1, disagg: true, seqs: 256, servable: true},
		"titan":  {name: "titan", replicas: 1, seqs: 256, lines: "  resources: {gpus: 64}\n"},
		"patchy": {name: "patchy", replicas: 1, seqs: 256, lines: "  priority: -1\n", servable: true},
	}
	docs := fmt.Sprintf("apiVersion: dynctl/v1alpha1\nkind: Server\nmetadata: {name: %s}\nspec:\n"+
		"  requestPlane: %s\n  frontend: {port: %d}\n  healing: {backoff: {initial: 500ms, max: 2s}}\n", server, w.cfg.plane, w.port)
	for _, name := range slices.Sorted(maps.Keys(w.fleet)) {
		docs += w.fleet[name].document()
	}
	if _, err := w.dynctl(ctx, docs, "set", "-"); err != nil {
		return err
	}
	deadline := time.Now().Add(2 * time.Minute)
	for {
		waiting := w.notServing(ctx)
		if len(waiting) == 0 {
			w.say("the fleet serves")
			w.began = time.Now()
			return nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return fmt.Errorf("the fleet does not come up: %v", waiting)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func (w *world) notServing(ctx context.Context) (out []string) {
	for _, name := range w.servable() {
		if !w.answers(ctx, "/v1/models/"+name+"/ready") {
			out = append(out, name)
		}
	}
	return out
}

// servable are the models that clients may ask, sorted.
func (w *world) servable() (out []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(w.fleet)) {
		if m := w.fleet[name]; m.servable && !m.deleted {
			out = append(out, name)
		}
	}
	return out
}

// set declares a model as it stands in the fleet.
func (w *world) set(ctx context.Context, m *model) error {
	w.hold(m.name, specChanged)
	w.touch(m.name)
	_, err := w.dynctl(ctx, m.document(), "set", "-")
	return err
}
