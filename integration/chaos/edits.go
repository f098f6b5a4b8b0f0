package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

// any chooses a model that clients ask.
func (w *world) anyModel() (*model, error) {
	names := w.servable()
	if len(names) == 0 {
		return nil, errNotNow
	}
	return w.fleet[names[w.rnd.IntN(len(names))]], nil
}

// editSpec asks for another generation.
func (w *world) editSpec(ctx context.Context) (string, error) {
	m, err := w.anyModel()
	if err != nil {
		return "", err
	}
	m.seqs = 64 + w.rnd.IntN(200)
	return fmt.Sprintf("%s: max_num_seqs %d", m.name, m.seqs), w.set(ctx, m)
}

func (w *world) editAndRevert(ctx context.Context) (string, error) {
	m, err := w.anyModel()
	if err != nil {
		return "", err
	}
	was := m.seqs
	m.seqs = 300 + w.rnd.IntN(100)
	if err := w.set(ctx, m); err != nil {
		return "", err
	}
	time.Sleep(time.Duration(w.rnd.IntN(3000)) * time.Millisecond)
	m.seqs = was
	return m.name, w.set(ctx, m)
}

// badGeneration asks for what does not start, and takes it back later.
func (w *world) badGeneration(ctx context.Context) (string, error) {
	m, err := w.anyModel()
	if err != nil {
		return "", err
	}
	m.extra = ", no_such_flag: 1"
	if err := w.set(ctx, m); err != nil {
		return "", err
	}
	time.Sleep(time.Duration(1000+w.rnd.IntN(4000)) * time.Millisecond)
	m.extra = ""
	return m.name, w.set(ctx, m)
}

// badSpec writes what is refused straight into the bucket, then what was there.
func (w *world) badSpec(ctx context.Context) (string, error) {
	m, err := w.anyModel()
	if err != nil {
		return "", err
	}
	bucket, err := w.js.KeyValue(ctx, "dynctl_specs")
	if err != nil {
		return "", err
	}
	bad := []string{"{", "apiVersion: dynctl/v1alpha1\nkind: Model\nspec: {model: ''}\n", "not: a spec\n"}[w.rnd.IntN(3)]
	if _, err := bucket.Put(ctx, "model."+server+"."+m.name, []byte(bad)); err != nil {
		return "", err
	}
	time.Sleep(time.Duration(w.rnd.IntN(2000)) * time.Millisecond)
	return m.name, w.set(ctx, m)
}

// deleteModel deletes a model and declares it again a moment later. From before
// the delete until it serves again nobody asks it.
func (w *world) deleteModel(ctx context.Context) (string, error) {
	names := w.servable()
	if len(names) < 2 {
		return "", errNotNow
	}
	m := w.fleet[names[w.rnd.IntN(len(names))]]
	units, _, err := w.observed(ctx)
	if err != nil {
		return "", err
	}
	w.setServable(m, false)
	w.open(m.name, modelDeleted)
	for _, u := range units { // what drains still answers, and is not what comes back
		if u.Model == m.name && len(u.Actors) > 0 {
			w.harm(u, "", modelDeleted)
		}
	}
	if _, err := w.dynctl(ctx, "", "delete", "model/"+m.name, "--server", server); err != nil {
		return "", err
	}
	time.Sleep(time.Duration(w.rnd.IntN(3000)) * time.Millisecond)
	if err := w.set(ctx, m); err != nil {
		return "", err
	}
	w.setServable(m, true)
	return m.name, nil
}

// deleteAndPut deletes a spec as a program does that knows NATS alone, and puts it
// again within the hold: nothing may stop.
func (w *world) deleteAndPut(ctx context.Context) (string, error) {
	m, err := w.anyModel()
	if err != nil {
		return "", err
	}
	bucket, err := w.js.KeyValue(ctx, "dynctl_specs")
	if err != nil {
		return "", err
	}
	if err := bucket.Delete(ctx, "model."+server+"."+m.name); err != nil {
		return "", err
	}
	time.Sleep(time.Duration(w.rnd.IntN(7000)) * time.Millisecond)
	return m.name, w.set(ctx, m)
}

func (w *world) setServable(m *model, yes bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m.deleted = !yes
}

func (w *world) scaleModel(ctx context.Context) (string, error) {
	m, err := w.anyModel()
	if err != nil {
		return "", err
	}
	m.replicas = 1 + w.rnd.IntN(3)
	if m.disagg {
		m.replicas = 1 + w.rnd.IntN(2)
	}
	return fmt.Sprintf("%s: %d", m.name, m.replicas), w.set(ctx, m)
}

// declared are the models that have to be there at the end.
func (w *world) declared() []*model {
	var out []*model
	for _, name := range slices.Sorted(maps.Keys(w.fleet)) {
		out = append(out, w.fleet[name])
	}
	return out
}
