package kv

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"

	"dynctl/state"
)

// Bounds of what is decoded at all.
const (
	// maxObserved bounds a value of the agent or of the lease.
	maxObserved = 512 << 10
	// maxStatus bounds a status: it holds an accepted spec and what was rendered
	// from it for every generation that has units.
	maxStatus = 8 << 20
	// maxConfirmation bounds one of a server's deletions: a revision and a time.
	maxConfirmation = 4 << 10
	// maxDepth is how deep the values of an object may lie in each other.
	maxDepth = 64
)

// Unreadable is a value that stands in a bucket and cannot be what its key says.
// It is set aside: left out of every view, and named. Nothing else is.
type Unreadable struct {
	Bucket   string    `json:"bucket"`
	Key      string    `json:"key"`
	Revision uint64    `json:"revision"`
	Why      string    `json:"why"` // one line
	At       time.Time `json:"at"`  // when it was stored, on the clock of the store

	whole string // the key, where Key is cut off for being long; else empty
}

func (u Unreadable) String() string {
	return fmt.Sprintf("%s %s, revision %d: %s", u.Bucket, u.Key, u.Revision, u.Why)
}

// UnreadableError comes with a result from which values were left out, and names
// them. What the call returned beside it is right and complete but for these.
type UnreadableError struct{ Values []Unreadable }

func (e *UnreadableError) Error() string {
	lines := make([]string, len(e.Values))
	for i, u := range e.Values {
		lines[i] = u.String()
	}
	return strings.Join(lines, "; ")
}

// Is reports that an unreadable value is an invalid one.
func (e *UnreadableError) Is(target error) bool { return target == ErrInvalid }

// leftOut is the error for what was left out; nil when nothing was.
func leftOut(values []Unreadable) error {
	if len(values) == 0 {
		return nil
	}
	sortUnreadable(values)
	return &UnreadableError{values}
}

func sortUnreadable(values []Unreadable) {
	slices.SortFunc(values, func(a, b Unreadable) int {
		return cmp.Or(strings.Compare(a.Bucket, b.Bucket), strings.Compare(a.Key, b.Key))
	})
}

// maxWhy bounds what is said of a value: its text may be the value's own.
const maxWhy = 300

func unreadable(bucket string, e entry, why error) Unreadable {
	text := strings.ToValidUTF8(strings.Join(strings.Fields(why.Error()), " "), "?")
	if len(text) > maxWhy {
		text = strings.ToValidUTF8(text[:maxWhy], "") + "..."
	}
	u := Unreadable{Bucket: bucket, Key: e.key, Revision: e.rev, Why: text, At: e.at}
	if len(u.Key) > maxWhy {
		u.Key, u.whole = strings.ToValidUTF8(u.Key[:maxWhy], "")+"...", e.key
	}
	return u
}

// errForeignKey means that a key is none that its bucket has.
var errForeignKey = errors.New("no key of this bucket")

// decodeObject reads a JSON object within bounds. What the decoder would pass over
// (text that is no UTF-8, null in the place of an object) is refused.
func decodeObject(value []byte, limit int, into any) error {
	switch {
	case len(value) > limit:
		return fmt.Errorf("%d bytes; at most %d are read", len(value), limit)
	case !utf8.Valid(value):
		return errors.New("it is no UTF-8 text")
	case !bytes.HasPrefix(bytes.TrimLeft(value, " \t\r\n"), []byte("{")):
		return errors.New("it is no JSON object")
	}
	if state.Depth(value) > maxDepth {
		return fmt.Errorf("its values lie more than %d deep in each other", maxDepth)
	}
	return json.Unmarshal(value, into)
}

// parseStatusEntry reads a status; the store id, which stands in the same bucket,
// is none and no error.
func parseStatusEntry(e entry) (state.Status, error) {
	if e.key == keyStoreID {
		return state.Status{}, checkStoreID(e.value)
	}
	return parseStatus(e)
}

// parseInternal checks what the spec bucket holds beside specs, which are read
// elsewhere.
func parseInternal(e entry) (struct{}, error) {
	if e.key == keyStoreID {
		return struct{}{}, checkStoreID(e.value)
	}
	if server, ok := strings.CutPrefix(e.key, confirmPrefix); ok {
		_, err := parseConfirmation(server, e.value)
		return struct{}{}, err
	}
	_, err := state.ParseKey(e.key)
	return struct{}{}, err
}

func parseConfirmation(server string, value []byte) (c confirmation, err error) {
	if !state.ValidServerName(server) {
		return c, errForeignKey
	}
	if err = decodeObject(value, maxConfirmation, &c); err == nil && c.Revision == 0 {
		err = errors.New("it confirms no revision")
	}
	return c, err
}

func checkStoreID(value []byte) error {
	if !storeIDPattern.Match(value) {
		return fmt.Errorf("%.40q is no store id; want 32 hex digits", value)
	}
	return nil
}

// Discard deletes an unreadable value, if it still stands there: it is for the
// owner of the bucket. A key of the spec bucket is its writer's alone.
// Errors: [ErrConflict], [ErrInvalid], [ErrUnreachable].
func (c *Client) Discard(ctx context.Context, u Unreadable) error {
	doing := "discard " + u.Bucket + " " + u.Key
	if u.Bucket == BucketSpecs {
		return fmt.Errorf("%s: %w: it is not this program's to delete", doing, ErrInvalid)
	}
	_, err := put(ctx, c.js, write{
		bucket: u.Bucket, key: cmp.Or(u.whole, u.Key), header: nats.Header{headerOperation: []string{opDelete}}, ifRev: &u.Revision,
	})
	return wrap(doing, err)
}

// Unreadable reads all buckets, side by side, and names what stands there and cannot be read.
func (c *Client) Unreadable(ctx context.Context) ([]Unreadable, error) {
	each := map[string]func([]entry) []Unreadable{
		BucketSpecs:  unreadableOf(BucketSpecs, func(e entry) error { _, err := parseInternal(e); return err }),
		BucketStatus: unreadableOf(BucketStatus, func(e entry) error { _, err := parseStatusEntry(e); return err }),
		BucketLease:  unreadableOf(BucketLease, func(e entry) error { return checkLeaseEntry(e, 0) }),
		BucketObserved: func(entries []entry) []Unreadable {
			_, bad := observations(entries)
			return bad
		},
	}
	var mu sync.Mutex
	var reading sync.WaitGroup
	var out []Unreadable
	var failed error
	for bucket, judge := range each {
		reading.Go(func() {
			entries, err := scan(ctx, c.js, bucket, ">", false)
			mu.Lock()
			defer mu.Unlock()
			failed = cmp.Or(failed, err)
			out = append(out, judge(entries)...)
		})
	}
	reading.Wait()
	if failed != nil {
		return nil, wrap("look for unreadable values", failed)
	}
	sortUnreadable(out)
	return out, nil
}

// unreadableOf judges what stands in a bucket by one value at a time.
func unreadableOf(bucket string, parse func(entry) error) func([]entry) []Unreadable {
	return func(entries []entry) (out []Unreadable) {
		for _, e := range entries {
			if e.deleted {
				continue
			}
			if err := parse(e); err != nil {
				out = append(out, unreadable(bucket, e, err))
			}
		}
		return out
	}
}
