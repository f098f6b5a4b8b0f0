package kv

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dynctl/state"
	"dynctl/state/roles"
)

// Users apart from the store (docs/adr/0023) read through the reconciler: what they may
// see cannot be told by the subjects of the JetStream API, and whoever may make a consumer
// may have the server write for him. A read is a request; the answer comes in pages.

const (
	readPatience = 10 * time.Second
	// readPage is how many bytes of values a page has before the next begins. One value may
	// be larger.
	readPage = 1 << 20
	// readMost is the largest value that an answer can carry: larger ones come without it.
	readMost = 5 << 20
	// readFilterMax is longer than any filter.
	readFilterMax = 512
)

// readRequest asks for the newest entries of a bucket, or for all that it holds of them.
type readRequest struct {
	Bucket  string `json:"bucket"`
	Filter  string `json:"filter"`
	History bool   `json:"history,omitempty"`
	// After leaves out what came up to that revision.
	After uint64 `json:"after,omitempty"`
}

type readEntry struct {
	Key     string      `json:"key"`
	Rev     uint64      `json:"rev"`
	Value   []byte      `json:"value,omitempty"`
	Header  nats.Header `json:"header,omitempty"`
	At      time.Time   `json:"at"`
	Deleted bool        `json:"deleted,omitempty"`
}

type readReply struct {
	Entries []readEntry `json:"entries"`
	// More: the request is to be made again, after the last of them.
	More  bool   `json:"more,omitempty"`
	Error string `json:"error,omitempty"`
}

// apart reports whether an error is what a user apart from the store gets for a request to
// JetStream: nobody answers, or that it has none.
func apart(err error) bool {
	for _, e := range []error{nats.ErrNoResponders, jetstream.ErrJetStreamNotEnabled, jetstream.ErrJetStreamNotEnabledForAccount} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// readThrough is scan through the reconciler; direct is why that is not to be had.
func readThrough(ctx context.Context, js jetstream.JetStream, r readRequest, direct error) ([]entry, error) {
	var all []entry
	for {
		reply, err := askRead(ctx, js.Conn(), r)
		if errors.Is(err, nats.ErrNoResponders) {
			return nil, direct // nobody reads for anybody here
		}
		if err != nil {
			return nil, err
		}
		for _, e := range reply.Entries {
			all = append(all, entry{key: e.Key, rev: e.Rev, value: e.Value, size: len(e.Value), header: e.Header, at: e.At, deleted: e.Deleted})
			r.After = max(r.After, e.Rev)
		}
		if !reply.More || len(reply.Entries) == 0 {
			return all, nil
		}
	}
}

func askRead(ctx context.Context, nc *nats.Conn, r readRequest) (readReply, error) {
	var reply readReply
	body, err := json.Marshal(r)
	if err != nil {
		return reply, err
	}
	ctx, cancel := context.WithTimeout(ctx, readPatience)
	defer cancel()
	m, err := nc.RequestWithContext(ctx, roles.SubjectRead, body)
	if err != nil {
		return reply, err
	}
	if err := json.Unmarshal(m.Data, &reply); err != nil {
		return reply, fmt.Errorf("answer to a read: %w", err)
	}
	if reply.Error != "" {
		return reply, fmt.Errorf("%w: %s", ErrRefused, reply.Error)
	}
	return reply, nil
}

// lastThrough is last through the reconciler.
func lastThrough(ctx context.Context, js jetstream.JetStream, bucket, key string, direct error) (entry, error) {
	entries, err := readThrough(ctx, js, readRequest{Bucket: bucket, Filter: key}, direct)
	if err != nil {
		return entry{}, err
	}
	if len(entries) == 0 {
		return entry{}, jetstream.ErrMsgNotFound
	}
	return entries[len(entries)-1], nil
}

// Reading is how a reconciler reads for others.
type Reading struct {
	// Hide takes out of a value what a viewer is not to see; nil as its result: all of it.
	Hide func(bucket string, value []byte) []byte
	// Others answers requests for what is no bucket of the store, by its name.
	Others map[string]func(ctx context.Context, js jetstream.JetStream, user roles.User, request []byte) (any, error)
}

// ServeReads answers the reads of users apart from the store, one after the other, until
// the connection ends.
func ServeReads(nc *nats.Conn, js jetstream.JetStream, o Reading) error {
	_, err := nc.Subscribe(roles.SubjectRead+".>", func(m *nats.Msg) {
		ctx, cancel := context.WithTimeout(context.Background(), readPatience)
		defer cancel()
		reply, err := o.answer(ctx, js, m)
		if err != nil {
			reply = readReply{Error: err.Error()}
		}
		if data, err := json.Marshal(reply); err == nil {
			_ = m.Respond(data) // whoever asked asks again
		}
	})
	return err
}

func (o Reading) answer(ctx context.Context, js jetstream.JetStream, m *nats.Msg) (any, error) {
	var r readRequest
	if err := json.Unmarshal(m.Data, &r); err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	user, ok := roles.Reader(m.Subject)
	if !ok || len(r.Filter) > readFilterMax || strings.ContainsAny(r.Filter, " \t\r\n") {
		return nil, errors.New("no such reader or filter")
	}
	if read := o.Others[r.Bucket]; read != nil {
		return read(ctx, js, user, m.Data)
	}
	filters, err := mayRead(user, r)
	if err != nil {
		return nil, err
	}
	var all []entry
	for _, filter := range filters {
		trim := func() func(*entry) { return pageTrim(r.After) }
		entries, err := scanDirect(ctx, js, scanning{r.Bucket, filter, r.History, trim})
		if err != nil {
			return nil, err
		}
		all = append(all, entries...)
	}
	slices.SortFunc(all, func(a, b entry) int { return cmp.Compare(a.rev, b.rev) })
	hide := o.Hide
	if user.Role != roles.Viewer {
		hide = func(_ string, value []byte) []byte { return value }
	}
	return pageOf(all, r, hide), nil
}

// pageTrim lets values go, of entries that come in the order of their revisions, which are
// not on the first page after a revision: a page is small, and a bucket may not be.
func pageTrim(after uint64) func(*entry) {
	kept := 0
	return func(e *entry) {
		e.cut = e.rev > after && kept > readPage
		if e.cut || e.rev <= after || len(e.value) > readMost {
			e.value = nil
		}
		kept += len(e.value)
	}
}

// pageOf is the first page of what comes after the request's revision.
func pageOf(all []entry, r readRequest, hide func(string, []byte) []byte) readReply {
	reply := readReply{Entries: []readEntry{}}
	size := 0
	for _, e := range all {
		if e.rev <= r.After {
			continue
		}
		if size > readPage || e.cut {
			reply.More = true
			break
		}
		value := e.value
		if value != nil && e.key != keyStoreID {
			value = hide(r.Bucket, value)
		}
		if len(value) > readMost {
			value = nil
		}
		size += len(value)
		reply.Entries = append(reply.Entries, readEntry{Key: e.key, Rev: e.rev, Value: value, Header: e.header, At: e.at, Deleted: e.deleted})
	}
	return reply
}

// mayRead is what of a request a user gets, as filters of the bucket.
func mayRead(user roles.User, r readRequest) ([]string, error) {
	seen := map[string][]string{BucketSpecs: {">"}, BucketStatus: {">"}, BucketObserved: {">"}, BucketLease: {keyLeader}}
	if user.Role == roles.Publisher {
		seen = map[string][]string{BucketSpecs: {keyStoreID}, BucketStatus: {keyStoreID}, BucketLease: {keyLeader}}
		for _, s := range user.Servers {
			if !state.ValidServerName(s) {
				return nil, fmt.Errorf("%q is no server", s)
			}
			for _, bucket := range []string{BucketSpecs, BucketStatus} {
				seen[bucket] = append(seen[bucket], state.ServerKey(s).String(), "model."+s+".>")
			}
			seen[BucketSpecs] = append(seen[BucketSpecs], confirmPrefix+s)
			seen[BucketObserved] = append(seen[BucketObserved], "unit."+s+".>")
		}
	}
	all, ok := seen[r.Bucket]
	if !ok {
		return nil, fmt.Errorf("there is no bucket %q to read", r.Bucket)
	}
	var out []string
	for _, filter := range all {
		if both := narrower(filter, r.Filter); both != "" {
			out = append(out, both)
		}
	}
	return out, nil
}

// narrower is the filter that takes what both take, where one of them takes all that the
// other does; empty: there is none, or neither does.
func narrower(a, b string) string {
	switch {
	case within(a, b):
		return a
	case within(b, a):
		return b
	}
	return ""
}

// within reports whether a filter takes everything that another one takes.
func within(inner, outer string) bool {
	in, out := strings.Split(inner, "."), strings.Split(outer, ".")
	for i, token := range out {
		switch {
		case token == ">":
			return len(in) > i
		case i >= len(in) || in[i] == ">" || token != "*" && token != in[i]:
			return false
		}
	}
	return len(in) == len(out)
}

// pollEvery is how often a status is looked for by who cannot watch.
const pollEvery = time.Second

// poll has a queue told of the statuses again and again, for who cannot watch them.
func (c *Client) poll(ctx context.Context, q *changes) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	there := map[string]bool{}
	for first := true; ; first = false {
		entries, err := scan(ctx, c.js, BucketStatus, ">", false)
		if err == nil {
			now := map[string]bool{}
			for _, e := range entries {
				now[e.key] = !e.deleted
				if !e.deleted || there[e.key] {
					q.add(e, first)
				}
			}
			there = now
			q.kick()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// cannotWatch reports whether this user can make no consumer.
func (c *Client) cannotWatch(ctx context.Context) bool {
	_, err := scanDirect(ctx, c.js, scanning{bucket: BucketStatus, filter: "none"})
	return apart(err)
}
