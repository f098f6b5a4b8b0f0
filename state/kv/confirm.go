package kv

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"dynctl/state"
)

// confirmPrefix begins the keys in the spec bucket that answer the mass-deletion
// guard, one for each server.
const confirmPrefix = "confirm."

// confirmation is the value of such a key.
type confirmation struct {
	// Revision: deletions up to it are confirmed.
	Revision uint64 `json:"revision"`
	// Bucket is when the spec bucket was made. A revision means nothing in another.
	Bucket time.Time `json:"bucket"`
}

// ConfirmDeletions answers the mass-deletion guard of a server: every deletion
// that stands in the bucket now, up to the revision returned, is to be carried
// out. Later ones are guarded again.
func (c *Client) ConfirmDeletions(ctx context.Context, server, author string) (uint64, error) {
	doing := "confirm deletions of " + server
	if !state.ValidServerName(server) {
		return 0, fmt.Errorf("%s: %w server name", doing, ErrInvalid)
	}
	s, err := c.js.Stream(ctx, streamName(BucketSpecs))
	if err != nil {
		return 0, wrap(doing, err)
	}
	info := s.CachedInfo()
	value, err := json.Marshal(confirmation{info.State.LastSeq, info.Created})
	if err != nil {
		return 0, fmt.Errorf("%s: %w", doing, err)
	}
	_, err = put(ctx, c.js, write{
		bucket: BucketSpecs, key: confirmPrefix + server, value: value, header: header(author, ""),
	})
	return info.State.LastSeq, wrap(doing, err)
}

// internalKey reports whether a key of the spec bucket is none of a spec.
func internalKey(key string) bool {
	return key == keyStoreID || strings.HasPrefix(key, confirmPrefix)
}

// FindSpec is the place of an object's entry among those of a snapshot.
func FindSpec(entries []*SpecEntry, key state.Key) (place int, found bool) {
	return slices.BinarySearchFunc(entries, &SpecEntry{object: key}, compareSpecs)
}

// compareSpecs orders by key: servers, then models, then what is neither.
func compareSpecs(a, b *SpecEntry) int {
	ka, erra := a.Object()
	kb, errb := b.Object()
	switch {
	case erra == nil && errb == nil:
		return ka.Compare(kb)
	case erra == nil:
		return -1
	case errb == nil:
		return 1
	default:
		return strings.Compare(a.Key, b.Key)
	}
}
