package app

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"dynctl/actors"
	"dynctl/events"
	"dynctl/state"
	"dynctl/state/kv"
	"dynctl/state/registry"
)

// journal is what was asked of the effects, in order; while err is set all of it fails.
type journal struct {
	mu    sync.Mutex
	err   error
	asked []string
}

func (j *journal) note(what string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.asked = append(j.asked, what)
	return j.err
}

// take is what was asked for since the last call.
func (j *journal) take() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := j.asked
	j.asked = nil
	return out
}

func (j *journal) commands(_ context.Context, all []events.Event) []error {
	var out []error
	for _, e := range all {
		out = append(out, j.note(e.ID))
	}
	return out
}

func (j *journal) fact(events.Event) {}

func (j *journal) putStatuses(_ context.Context, statuses []state.Status) (out []kv.Put) {
	for _, s := range statuses {
		out = append(out, kv.Put{Revision: uint64(time.Now().Unix()), Err: j.note("put " + s.Key)})
	}
	return out
}

func (j *journal) deleteStatus(_ context.Context, key state.Key) error {
	return j.note("delete " + key.String())
}

func (j *journal) discard(_ context.Context, u kv.Unreadable) error {
	return j.note("discard " + u.Key)
}

func (j *journal) revoke(_ context.Context, server string, _ int64) error {
	return j.note("revoke " + server)
}

func (j *journal) shut(_ context.Context, server string, _ registry.Gate) error {
	return j.note("shut " + server)
}

func (j *journal) renew(_ context.Context, server string, _ int64) error {
	return j.note("renew " + server)
}

func (j *journal) warm(context.Context, state.WarmOrder) error { return j.note("warm") }

// journalled is the loop of a leader whose effects are only noted.
func journalled(t *testing.T) (*loop, kv.Term, *journal) {
	t.Helper()
	l, term, _ := actingLoop(t)
	j := &journal{}
	l.effects = j
	return l, term, j
}

// A command that failed is asked for again as the same one; one that was stored is not
// until it had the time to change something, and is another one then.
func TestCommandsAreRepeated(t *testing.T) {
	l, term, j := journalled(t)
	in, plan := aPlan()
	plan.Revokes = nil
	round := func() []string {
		carryOut(t, l, term, in, plan, nil)
		return j.take()
	}
	j.err = errors.New("the stream is away")
	first := round()
	if again := round(); len(first) != 3 || !slices.Equal(first, again) {
		t.Errorf("failed: %v, then %v; want the same three", first, again)
	}
	j.err = nil
	if stored := round(); !slices.Equal(first, stored) {
		t.Errorf("at last %v, want %v", stored, first)
	}
	if again := round(); len(again) > 0 {
		t.Errorf("on their way, and asked for again: %v", again)
	}
	in.Now = in.Now.Add(resendAfter)
	late := round()
	if len(late) != 3 || slices.ContainsFunc(late, func(id string) bool { return slices.Contains(first, id) }) {
		t.Errorf("without effect: %v, want three others than %v", late, first)
	}
	l.forget() // another term
	if anew := round(); !slices.Equal(first, anew) {
		t.Errorf("in a new term: %v, want %v: the stream knows whether it has them", anew, first)
	}
}

// What was written counts until the view has it; what somebody else wrote is planned on.
func TestStatusesAreRepeated(t *testing.T) {
	l, term, j := journalled(t)
	in, plan := aPlan()
	plan.Starts, plan.Stops, plan.Revokes = nil, nil, nil
	const key = "model.default.m"
	plan.Statuses = []*state.Status{{Key: key, Kind: state.KindModel, Server: "default", Name: "m"}}
	plan.Gone = []state.Key{state.ModelKey("default", "gone")}
	round := func() []string {
		carryOut(t, l, term, in, plan, nil)
		l.awaitStatuses(0)
		return slices.Sorted(slices.Values(j.take())) // the put is not waited for
	}
	j.err = kv.ErrConflict
	want := []string{"delete model.default.gone", "put " + key}
	if got := round(); !slices.Equal(got, want) || len(l.written) > 0 || len(l.kick) != 1 {
		t.Errorf("a conflict: asked for %v, %d counted as written, %d kicks", got, len(l.written), len(l.kick))
	}
	j.err = errors.New("the store is away")
	if got := round(); !slices.Equal(got, want) || len(l.written) > 0 {
		t.Errorf("a failure: asked for %v, %d counted as written", got, len(l.written))
	}
	j.err = nil
	if got := round(); !slices.Equal(got, want[:1]) {
		t.Errorf("at once after a failure: %v, want no status yet", got)
	}
	in.Now = in.Now.Add(time.Minute)
	if got := round(); !slices.Equal(got, want) || l.written[key].Revision == 0 {
		t.Errorf("later: asked for %v, written %v", got, l.written)
	}
}

// The contract on the real stream and store: a repeat changes nothing, and what has
// changed meanwhile is told.
func TestEffectsMayBeRepeated(t *testing.T) {
	l, _, _ := actingLoop(t)
	ctx, a := t.Context(), l.effects
	e := events.Event{ID: "x", Type: events.TypeStop, Object: "u", Source: "test", Time: time.Now(),
		Data: events.Data{Server: "default", Unit: "u", Reason: actors.ReasonScaledDown, Command: []byte("{}")}}
	s := state.Status{Key: "server.default", Kind: state.KindServer, Server: "default"}
	var revision uint64
	for try := range 2 {
		if err := a.commands(ctx, []events.Event{e})[0]; err != nil {
			t.Fatal(err)
		}
		put := a.putStatuses(ctx, []state.Status{s})[0]
		switch {
		case try == 0 && put.Err == nil:
			revision = put.Revision
		case try == 1 && errors.Is(put.Err, kv.ErrConflict):
		default:
			t.Errorf("try %d: a status in the place of none: %v", try, put.Err)
		}
	}
	js, err := jetstream.New(l.app.nc)
	if err != nil {
		t.Fatal(err)
	}
	if stored := storedEvents(t, js, events.TypeStop); len(stored) != 1 {
		t.Errorf("%d commands of one id are stored", len(stored))
	}
	s.Revision = revision
	if put := a.putStatuses(ctx, []state.Status{s})[0]; put.Err != nil {
		t.Errorf("a status in the place of its revision: %v", put.Err)
	}
	for range 2 {
		if err := a.deleteStatus(ctx, state.ServerKey("default")); err != nil {
			t.Errorf("a status is deleted: %v", err)
		}
	}
}
