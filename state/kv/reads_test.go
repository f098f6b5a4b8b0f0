package kv

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"dynctl/state"
	"dynctl/state/kv/natsd"
	"dynctl/state/roles"
)

// closed is a store with a reconciler's part in reading for others, and a client of each role.
func closed(t *testing.T) (as func(name string) *Client) {
	t.Helper()
	doors := natsd.NewDoors([]roles.User{
		{Name: "reconciler", Role: roles.Reconciler, Password: "x"},
		{Name: "viewer", Role: roles.Viewer, Password: "x"},
		{Name: "publisher", Role: roles.Publisher, Servers: []string{"a", "a2"}, Password: "x"},
	})
	s, err := natsd.Start(natsd.Options{Port: -1, StoreDir: t.TempDir(), Doors: doors, Login: nats.UserInfo("reconciler", "x")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Shutdown(context.WithoutCancel(t.Context())) })
	as = func(name string) *Client {
		c, err := Connect(t.Context(), s.URL(), nats.UserInfo(name, "x"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	r := as("reconciler")
	if _, err := EnsureBuckets(t.Context(), r.js); err != nil {
		t.Fatal(err)
	}
	hide := func(_ string, value []byte) []byte { return append([]byte("# hidden\n"), value...) }
	if err := ServeReads(r.js.Conn(), r.js, Reading{Hide: hide}); err != nil {
		t.Fatal(err)
	}
	for _, key := range []state.Key{state.ServerKey("a"), state.ModelKey("a", "m"), state.ModelKey("a", "x.y"), state.ModelKey("a2", "m"), state.ModelKey("b", "m")} {
		for range 2 {
			must(r.PutSpec(t.Context(), key, []byte("kind: X"), PutOptions{Author: "me"}))(t)
		}
	}
	return as
}

// Those who may make no consumer read all the same, and no more than they may.
func TestReadsOfUsersApart(t *testing.T) {
	as := closed(t)
	for name, want := range map[string][]string{
		"reconciler": {"server.a", "model.a.m", "model.a.x.y", "model.a2.m", "model.b.m"},
		"viewer":     {"server.a", "model.a.m", "model.a.x.y", "model.a2.m", "model.b.m"},
		"publisher":  {"server.a", "model.a.m", "model.a.x.y", "model.a2.m"},
	} {
		c := as(name)
		if err := c.Ping(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var got []string
		for _, e := range must(c.ListSpecs(t.Context()))(t) {
			got = append(got, e.Key)
			if hidden := string(e.Value) != "kind: X"; hidden != (name == "viewer") || e.Author != "me" {
				t.Errorf("%s reads %s as %q by %q", name, e.Key, e.Value, e.Author)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s lists %v, want %v", name, got, want)
		}
		if h := must(c.SpecHistory(t.Context(), state.ModelKey("a", "m")))(t); len(h) < 2 {
			t.Errorf("%s has a history of %d", name, len(h))
		}
		must(c.GetSpec(t.Context(), state.ModelKey("a", "m")))(t)
		if _, err := c.GetSpec(t.Context(), state.ModelKey("b", "m")); errors.Is(err, ErrNotFound) != (name == "publisher") {
			t.Errorf("%s reads what is not its own: %v", name, err)
		}
		_, err := c.PutSpec(t.Context(), state.ModelKey("a", "m"), []byte("kind: X"), PutOptions{Author: "me"})
		if (err != nil) != (name == "viewer") {
			t.Errorf("%s writes: %v", name, err)
		}
		if _, err := c.PutSpec(t.Context(), state.ModelKey("b", "m"), []byte("kind: X"), PutOptions{Author: "me"}); (err != nil) != (name != "reconciler") {
			t.Errorf("%s writes what is not its own: %v", name, err)
		}
	}
}

// Who cannot watch is told of statuses all the same.
func TestStatusesOfUsersApart(t *testing.T) {
	as := closed(t)
	r := as("reconciler")
	put := func(server string) {
		t.Helper()
		if _, err := r.PutStatus(t.Context(), state.Status{Kind: state.KindModel, Server: server, Name: "m", Key: "model." + server + ".m"}); err != nil {
			t.Fatal(err)
		}
	}
	put("b")
	put("a")
	for change, err := range as("publisher").WatchStatuses(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if change.Key.Server != "a" {
			if change.Key.Server == "a2" {
				return
			}
			t.Errorf("told of %s", change.Key)
		}
		put("a2")
	}
}

// A page that is full is followed by the next.
func TestReadsComeInPages(t *testing.T) {
	as := closed(t)
	large := make([]byte, readPage/2)
	for i := range large {
		large[i] = ' '
	}
	r := as("reconciler")
	for _, name := range []string{"p", "q", "r", "s", "t"} {
		must(r.PutSpec(t.Context(), state.ModelKey("a", name), large, PutOptions{}))(t)
	}
	if got := must(as("publisher").ListSpecs(t.Context()))(t); len(got) != 9 {
		t.Errorf("%d specs, want 9", len(got))
	}
}

func TestNarrower(t *testing.T) {
	for _, row := range [][3]string{
		{">", "model.a.>", "model.a.>"}, {"model.a.>", ">", "model.a.>"}, {"model.a.>", "model.a.m", "model.a.m"},
		{"model.a.>", "model.b.m", ""}, {"model.a.>", "model.*.m", ""}, {"model.a.>", "model.>", "model.a.>"}, {"store.id", "store.id", "store.id"},
		{"server.a", "server.*", "server.a"}, {"server.a", "server", ""}, {"model.a.>", "model.a", ""}, {"model.a.>", "*.*.>", "model.a.>"}, {"server.a", "", ""},
	} {
		if got := narrower(row[0], row[1]); got != row[2] {
			t.Errorf("%q and %q: %q, want %q", row[0], row[1], got, row[2])
		}
	}
}

// A page is small where the bucket is not: of what is behind it no value is kept, and what
// the server sends ahead is bounded too.
func TestAReadKeepsAPageOfTheBucket(t *testing.T) {
	js := newStore(t).ready()
	c := New(js)
	const values, size = 24, 512 << 10
	for i := range values {
		must(c.PutSpec(t.Context(), state.ServerKey(fmt.Sprint("s", i)), bytes.Repeat([]byte{byte('a' + i)}, size), PutOptions{}))(t)
	}
	pulls := must(js.Conn().SubscribeSync("$JS.API.CONSUMER.MSG.NEXT." + streamName(BucketSpecs) + ".*"))(t)
	r := readRequest{Bucket: BucketSpecs, Filter: "server.>"}
	short := func(_ string, value []byte) []byte { return value[:1] } // so that a page has room for what was not kept
	var read []readEntry
	for more := true; more; {
		entries := must(scanDirect(t.Context(), js, scanning{r.Bucket, r.Filter, r.History, func() func(*entry) { return pageTrim(r.After) }}))(t)
		kept := 0
		for _, e := range entries {
			kept += len(e.value)
		}
		if len(entries) != values || kept > readPage+size {
			t.Fatalf("of %d entries %d bytes are kept, want at most a page of %d and one value", len(entries), kept, readPage)
		}
		reply := pageOf(entries, r, short)
		if len(reply.Entries) == 0 {
			t.Fatalf("an empty page after %d", r.After)
		}
		read = append(read, reply.Entries...)
		r.After, more = read[len(read)-1].Rev, reply.More
		var pull struct {
			Bytes int `json:"max_bytes"`
		}
		m := must(pulls.NextMsg(10 * time.Second))(t)
		if err := json.Unmarshal(m.Data, &pull); err != nil || pull.Bytes <= 0 || pull.Bytes > pullBytes(js) {
			t.Fatalf("asks for %s at once, %v; want a bound of bytes", m.Data, err)
		}
	}
	for i, e := range read {
		if len(read) != values || string(e.Value) != string(rune('a'+i)) {
			t.Fatalf("entry %d of %d is %q", i, len(read), e.Value)
		}
	}
}

// What is too large to be a spec is told in its history by its size alone.
func TestAHistoryKeepsWhatMayBeRead(t *testing.T) {
	c, key := New(newStore(t).ready()), state.ModelKey("a", "m")
	for _, size := range []int{10, state.MaxValueSize, 4 << 20, 20, 4 << 20} {
		must(c.PutSpec(t.Context(), key, bytes.Repeat([]byte("x"), size), PutOptions{}))(t)
	}
	var got []string
	for _, e := range must(c.SpecHistory(t.Context(), key))(t) {
		got = append(got, fmt.Sprintf("%d of %d", len(e.Value), e.Size))
	}
	if want := []string{"10 of 10", "524288 of 524288", "0 of 4194304", "20 of 20", "0 of 4194304"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
