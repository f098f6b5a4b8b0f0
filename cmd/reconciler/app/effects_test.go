package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"dynctl/actors"
	"dynctl/actors/accept"
	"dynctl/events"
	"dynctl/state"
	"dynctl/state/kv"
	"dynctl/state/kv/natsd/natsdtest"
	"dynctl/state/registry"
)

// logLines collects what is logged, for several goroutines.
type logLines struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	wrote chan struct{}
}

func newLogLines() *logLines { return &logLines{wrote: make(chan struct{}, 16)} }

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.wrote <- struct{}{}:
	default:
	}
	return l.buf.Write(p)
}

// take are the lines since the last call, as their fields.
func (l *logLines) take(t *testing.T) []map[string]any {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []map[string]any
	for line := range strings.Lines(l.buf.String()) {
		fields := map[string]any{}
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatal(err)
		}
		delete(fields, "time")
		out = append(out, fields)
	}
	l.buf.Reset()
	return out
}

// actingLoop is the loop of a leader on a NATS of its own, and what it logs.
func actingLoop(t *testing.T) (*loop, kv.Term, *logLines) {
	t.Helper()
	nc, js := natsdtest.Connect(t)
	if _, err := kv.EnsureBuckets(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	if err := events.EnsureStream(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	publisher, err := events.NewPublisher(js, events.PublisherOptions{})
	if err != nil {
		t.Fatal(err)
	}
	lines := newLogLines()
	a := &App{cfg: Config{ID: "r1"}, nc: nc, log: slog.New(slog.NewJSONHandler(lines, nil)), publisher: publisher, store: kv.New(js),
		registry: registry.New(registry.Config{}), frontends: registry.NewFrontends(registry.FrontendsConfig{})}
	a.loop = newLoop(a)
	term := leadership(t, js)
	t.Cleanup(func() {
		_ = publisher.Close(context.WithoutCancel(t.Context()))
		a.registry.Close()
		a.frontends.Close()
	})
	return a.loop, term, lines
}

// carryOut carries a plan out as a round does.
func carryOut(t *testing.T, l *loop, term kv.Term, in actors.Input, r actors.Result, kept map[state.Key]accept.Kept) {
	t.Helper()
	l.report(t.Context(), l.command(t.Context(), term, in, r), r, kept)
}

func leadership(t *testing.T, js jetstream.JetStream) kv.Term {
	t.Helper()
	elector := kv.NewElector(js, kv.ElectorOptions{ID: "r1"})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = elector.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	select {
	case term := <-elector.Leadership():
		return term
	case <-t.Context().Done():
		t.Fatal("no leadership")
	}
	return kv.Term{}
}

// expectLine fails unless a line has these fields; the others are only told.
func expectLine(t *testing.T, got []map[string]any, want map[string]any) {
	t.Helper()
	if !slices.ContainsFunc(got, func(line map[string]any) bool {
		has := maps.Clone(line)
		maps.DeleteFunc(has, func(k string, _ any) bool { _, asked := want[k]; return !asked })
		return maps.Equal(has, want)
	}) {
		t.Errorf("no line has %v among %v", want, got)
	}
}

func aPlan() (actors.Input, actors.Result) {
	u := aWorker(2, nil)
	u.Revision = 77
	in := roundOf(0, u)
	in.Observed.Agent = &state.Agent{Incarnation: 3, Session: "s"}
	in.Registered = map[string]state.Registrations{"default": {Known: true, Revision: 12}}
	infra := actors.UnitTemplate{Server: "default", Unit: actors.InfraUnit, Generation: "00c0ffee"}
	worker := actors.UnitTemplate{Server: "default", Unit: "1a2b3c4d_m_DP1", Model: "m", Generation: "1a2b3c4d"}
	return in, actors.Result{
		Starts: []actors.Start{{Template: infra, Reason: actors.ReasonWanted, Revision: 5}, {Template: worker, Reason: actors.ReasonWanted, Revision: 6}},
		Stops:  []actors.End{{Key: u.Key(), Model: "m", Generation: u.Generation, Reason: actors.ReasonScaledDown, Revision: 6, Seen: 77}},
		Revokes: []actors.Revoke{{Key: u.Key(), Lease: 0x1f, Reason: actors.ReasonDeadAttempt},
			{Key: state.UnitKey{Server: "default"}, Lease: 0x2f, Reason: actors.ReasonUnclaimed}},
	}
}

func TestEveryCommandIsLoggedWithItsCause(t *testing.T) {
	l, term, lines := actingLoop(t)
	in, plan := aPlan()
	plan.Revokes = nil
	carryOut(t, l, term, in, plan, nil)
	got := lines.take(t)
	epoch := float64(term.Epoch)
	for _, want := range []map[string]any{
		{"msg": "command", "type": "start", "server": "default", "unit": "infra", "reason": actors.ReasonWanted, "causeId": "server.default@5", "epoch": epoch},
		{"msg": "command", "type": "start", "server": "default", "unit": "1a2b3c4d_m_DP1", "reason": actors.ReasonWanted, "causeId": "model.default.m@6", "epoch": epoch},
		{"msg": "command", "type": "stop", "server": "default", "unit": "1a2b3c4d_m_DP0", "reason": actors.ReasonScaledDown, "causeId": "unit.default.1a2b3c4d_m_DP0@77", "epoch": epoch},
	} {
		expectLine(t, got, want)
	}
	if len(got) != 4 {
		t.Errorf("%d lines, want one for each command and one for the round: %v", len(got), got)
	}
	carryOut(t, l, term, in, plan, nil)
	if got := lines.take(t); len(got) != 0 {
		t.Errorf("what was not published again is logged: %v", got)
	}
	_ = l.app.publisher.Close(t.Context())
}

func TestWhatCannotBeSentIsLoggedWithItsCause(t *testing.T) {
	l, term, lines := actingLoop(t)
	in, plan := aPlan()
	plan.Stops, plan.Starts[1].Template.Unit = nil, "two words" // no subject can hold it
	carryOut(t, l, term, in, actors.Result{Starts: plan.Starts[1:]}, nil)
	expectLine(t, lines.take(t), map[string]any{"level": "ERROR", "msg": "a command was not published; it is tried again",
		"type": "start", "server": "default", "unit": "two words", "causeId": "model.default.m@6", "epoch": float64(term.Epoch)})

	// No etcd is known, so each revocation fails and says of what.
	l.revoke(t.Context(), in, plan.Revokes)
	var got []map[string]any
	for len(got) < 2 {
		<-lines.wrote
		got = append(got, lines.take(t)...)
	}
	expectLine(t, got, map[string]any{"level": "WARN", "unit": "1a2b3c4d_m_DP0", "lease": "1f", "reason": actors.ReasonDeadAttempt, "causeId": "unit.default.1a2b3c4d_m_DP0@77"})
	expectLine(t, got, map[string]any{"level": "WARN", "unit": "", "lease": "2f", "reason": actors.ReasonUnclaimed, "causeId": "etcd.default@12"})
}

func TestARevocationIsLoggedWithItsCause(t *testing.T) {
	lines := newLogLines()
	log := slog.New(slog.NewJSONHandler(lines, nil))
	in, plan := aPlan()
	logRevoke(log, plan.Revokes[0], revokeCause(in, plan.Revokes[0]), time.Second, nil)
	expectLine(t, lines.take(t), map[string]any{"level": "INFO", "msg": "revoked", "server": "default", "unit": "1a2b3c4d_m_DP0", "lease": "1f",
		"reason": actors.ReasonDeadAttempt, "causeId": "unit.default.1a2b3c4d_m_DP0@77"})
	logRevoke(log, plan.Revokes[0], "c", time.Second, errors.New("etcd is away"))
	expectLine(t, lines.take(t), map[string]any{"level": "WARN", "err": "etcd is away", "causeId": "c"})
}

// A unit that starts again rests on the marker of the one before, which tells the
// two starts apart; its cause is the spec all the same.
func TestTheMarkerOfAGoneUnitIsNoCause(t *testing.T) {
	key := state.UnitKey{Server: "s", Unit: "1a2b3c4d_m_DP0"}
	c := &commander{in: actors.Input{Observed: state.Observed{Gone: map[state.UnitKey]uint64{key: 7}}}}
	d := events.Data{Server: key.Server, Unit: key.Unit, Model: "m", SpecRevision: 3}
	for seen, want := range map[uint64]string{0: "model.s.m@3", 7: "model.s.m@3", 8: "unit.s.1a2b3c4d_m_DP0@8"} {
		if got := causeID(d, c.observed(d, seen)); got != want {
			t.Errorf("seen %d: cause %q, want %q", seen, got, want)
		}
	}
}
