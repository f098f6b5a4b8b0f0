package main

import (
	"context"
	"errors"
	"slices"

	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/cmd/dynctl/internal/together"
	"dynctl/state"
	"dynctl/state/kv"
)

// stored is what the store holds of objects.
type stored struct {
	specs    []kv.SpecEntry
	statuses []state.Status
}

// readStored reads all of it.
func readStored(ctx context.Context, c *kv.Client) (s stored, err error) {
	var reads together.Reads
	defer reads.Wait()
	specs := together.Begin(&reads, func() ([]kv.SpecEntry, error) { return c.ListSpecs(ctx) })
	if s.statuses, err = c.ListStatuses(ctx); err != nil && !errors.Is(err, kv.ErrNotFound) {
		return s, exit.Stored(err)
	}
	if s.specs, err = specs(); err != nil {
		return s, exit.Stored(err)
	}
	return s, nil
}

// keys are the objects that have a spec or a status, sorted.
func (s stored) keys() []state.Key {
	seen := map[state.Key]bool{}
	for _, e := range s.specs {
		if k, err := state.ParseKey(e.Key); err == nil && !e.Deleted {
			seen[k] = true
		}
	}
	for _, status := range s.statuses {
		if k, err := state.ParseKey(status.Key); err == nil {
			seen[k] = true
		}
	}
	var keys []state.Key
	for k := range seen {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, state.Key.Compare)
	return keys
}

// allKeys are the keys of what is stored.
func allKeys(ctx context.Context, c *kv.Client) ([]state.Key, error) {
	s, err := readStored(ctx, c)
	return s.keys(), err
}
