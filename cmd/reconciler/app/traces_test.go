package app

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"dynctl/actors"
	"dynctl/events"
	"dynctl/state"
)

// aJourney plays what a reconciler hears of revision 6 of model m.
type aJourney struct {
	*traces
	sent *tracetest.InMemoryExporter
}

func newJourney() *aJourney {
	sent := tracetest.NewInMemoryExporter()
	return &aJourney{newTraces("r1", sdktrace.WithSyncer(sent)), sent}
}

const journeyUnit = "1a2b3c4d_m_DP0"

func seconds(n int) time.Time { return noon.Add(time.Duration(n) * time.Second) }

func (j *aJourney) told(live bool, at int, typ, reason string) {
	j.happened(events.Event{Type: typ, Time: seconds(at), Data: events.Data{Server: "default", Model: "m", Unit: journeyUnit, SpecRevision: 6, Reason: reason}}, live)
}

// begun are the events up to the placement.
func (j *aJourney) begun(live bool) {
	j.told(live, 1, events.TypeSpecAccepted, "OK")
	j.told(live, 2, events.TypeStart, actors.ReasonWanted)
	j.told(live, 5, events.TypePlacementCreated, "Created")
}

// journeyRound is a round at which the worker was executed, registered, ready.
type journeyRound struct {
	at                          int
	executed, registered, ready bool
	blind                       bool
	units                       []*state.Unit
}

func (r journeyRound) input() (actors.Input, actors.Result) {
	u := aWorker(1, nil)
	u.Actors[0].StartedAt = time.Time{}
	if r.executed {
		u.Actors[0].StartedAt, u.Actors[0].Lease = seconds(8), 0x1f
	}
	in := roundOf(time.Duration(r.at)*time.Second, append(r.units, u)...)
	in.Desired.Models = []*actors.DesiredModel{{Server: "default", Name: "m", Revision: 6, Accepted: 6}}
	regs := state.Registrations{Known: !r.blind}
	if r.registered {
		regs.Instances = []state.Instance{{Lease: 0x1f}}
	}
	in.Registered = map[string]state.Registrations{"default": regs}
	in.Frontends = map[string]state.FrontendView{"default": {Known: !r.blind}}
	if r.ready {
		return in, ready(u.Unit)
	}
	return in, ready()
}

func putAtNoon(state.Key, uint64) time.Time { return noon }

func (j *aJourney) see(leads bool, rounds ...journeyRound) {
	for _, r := range rounds {
		in, result := r.input()
		j.round(in, result, putAtNoon, leads)
	}
}

func wholeWay() []journeyRound {
	return []journeyRound{{at: 3}, {at: 9, executed: true}, {at: 20, executed: true, registered: true}, {at: 21, executed: true, registered: true, ready: true}}
}

// lines are the spans in the order in which they were told.
func (j *aJourney) lines() []string {
	var out []string
	names := map[string]string{}
	for _, s := range j.sent.GetSpans() {
		names[s.SpanContext.SpanID().String()] = s.Name
		parent := "-"
		if s.Parent.IsValid() {
			parent = names[s.Parent.SpanID().String()]
		}
		out = append(out, fmt.Sprintf("%s < %s: %v to %v", s.Name, parent, s.StartTime.Sub(noon), s.EndTime.Sub(noon)))
	}
	return out
}

func TestATraceFromPutToTheFirstWorkerThatServes(t *testing.T) {
	j := newJourney()
	j.begun(true)
	j.see(true, wholeWay()...)
	want := []string{
		"serve model < -: 0s to 21s", "accept < serve model: 0s to 1s", "start unit < serve model: 1s to 21s",
		"publish < start unit: 1s to 2s", "place < start unit: 2s to 5s", "execute < start unit: 5s to 8s",
		"register < start unit: 8s to 20s", "list < start unit: 20s to 21s",
	}
	if got := j.lines(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	attributes := map[string]string{}
	for _, s := range j.sent.GetSpans() {
		for _, a := range s.Attributes {
			attributes[string(a.Key)] = a.Value.String()
		}
	}
	for name, value := range map[string]string{"dynctl.server": "default", "dynctl.model": "m", "dynctl.cause_id": "model.default.m@6",
		"dynctl.spec_revision": "6", "dynctl.unit": journeyUnit, "dynctl.role": "aggregated", "dynctl.reason": actors.ReasonWanted, "dynctl.attempt": "1"} {
		if attributes[name] != value {
			t.Errorf("%s is %q, want %q", name, attributes[name], value)
		}
	}
	j.told(true, 40, events.TypeStart, actors.ReasonExited)
	j.see(true, wholeWay()...)
	if got := j.lines(); len(got) != len(want) {
		t.Errorf("it was told twice: %q", got)
	}
	if len(j.journeys) != 1 || j.journeys[state.ModelKey("default", "m")].legs != nil {
		t.Error("what is over is remembered")
	}
	j.round(roundOf(0), actors.Result{}, putAtNoon, true)
	if len(j.journeys) != 0 {
		t.Error("what is gone is remembered")
	}
}

func TestATraceIsTheSameWhoeverLeads(t *testing.T) {
	first, second, other := newJourney(), newJourney(), newJourney()
	for _, j := range []*aJourney{first, second} {
		j.begun(true)
	}
	way := wholeWay()
	first.see(true, way[:2]...)
	second.see(false, way[:2]...) // stands by, then takes over
	started := first.parent(events.Data{Server: "default", Model: "m", Unit: journeyUnit, SpecRevision: 6})
	second.see(true, way[2:]...)
	first.see(false, way[2:]...)
	if n := len(first.sent.GetSpans()); n != 0 {
		t.Errorf("who no longer leads sent %d spans", n)
	}
	got := second.sent.GetSpans()
	if len(got) != 8 {
		t.Fatalf("%d spans, want 8: %q", len(got), second.lines())
	}
	unit := got[2].SpanContext
	if want := "00-" + unit.TraceID().String() + "-" + unit.SpanID().String() + "-01"; started != want {
		t.Errorf("the start names %s, want the unit's span %s", started, want)
	}
	other.store = "another store"
	in, result := journeyRound{at: 3}.input()
	in.Policy.StoreID = "another store"
	other.begun(true)
	other.round(in, result, putAtNoon, true)
	if p := other.parent(events.Data{Server: "default", Model: "m", Unit: journeyUnit, SpecRevision: 6}); p == started || p == "" {
		t.Errorf("the same revision of another store: %s", p)
	}
}

func TestWhatIsNotTraced(t *testing.T) {
	for name, play := range map[string]func(*aJourney){
		"it was complete before this process began": func(j *aJourney) {
			j.begun(false)
			j.see(true, journeyRound{at: 100, executed: true, blind: true}, journeyRound{at: 101, executed: true, registered: true, ready: true})
		},
		"a revision that starts nothing": func(j *aJourney) {
			in, result := journeyRound{at: 3, executed: true, registered: true, ready: true}.input()
			in.Desired.Models[0].Status = &state.Status{ObservedRevision: 6, Conditions: []state.Condition{{Type: state.CondReady, Status: state.StatusTrue}}}
			j.round(in, result, putAtNoon, true)
			j.told(true, 500, events.TypeStart, actors.ReasonExited) // much later
			j.see(true, wholeWay()...)
		},
		"the agent is away": func(j *aJourney) {
			j.begun(true)
			in, result := wholeWay()[3].input()
			in.Observed.Synced = false
			j.round(in, result, putAtNoon, true)
		},
		"a revision that is superseded": func(j *aJourney) {
			j.begun(true)
			in, result := wholeWay()[3].input()
			in.Desired.Models[0].Accepted = 7
			j.round(in, result, putAtNoon, true)
			j.told(true, 30, events.TypeSpecAccepted, "OK") // late word of the old one
		},
		"another unit of the same role does not serve, nor this one": func(j *aJourney) {
			j.begun(true)
			j.see(true, wholeWay()[:3]...)
		},
		"etcd and NATS": func(j *aJourney) {
			j.happened(events.Event{Type: events.TypeStart, Data: events.Data{Server: "default", Unit: actors.InfraUnit}}, true)
			if len(j.journeys) != 0 {
				t.Error("it is remembered")
			}
		},
	} {
		j := newJourney()
		play(j)
		if got := j.lines(); len(got) != 0 {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestTracesOfRevisionsOutOfTheOrdinary(t *testing.T) {
	t.Run("taken up from stored events while it is under way", func(t *testing.T) {
		j := newJourney()
		j.begun(false)
		j.see(true, wholeWay()...)
		if got := j.lines(); len(got) != 8 {
			t.Errorf("%q", got)
		}
	})
	t.Run("clocks that disagree", func(t *testing.T) {
		j := newJourney()
		j.told(true, -5, events.TypeSpecAccepted, "OK")
		j.told(true, 2, events.TypeStart, actors.ReasonWanted)
		j.told(true, -60, events.TypePlacementCreated, "Created")
		j.see(true, wholeWay()...)
		for _, s := range j.sent.GetSpans() {
			if s.EndTime.Before(s.StartTime) || s.StartTime.Before(noon) {
				t.Errorf("%s lasts from %v to %v", s.Name, s.StartTime, s.EndTime)
			}
		}
	})
	t.Run("a first attempt that ended", func(t *testing.T) {
		j := newJourney()
		j.begun(true)
		j.see(true, journeyRound{at: 9, executed: true, registered: true})
		in, result := wholeWay()[3].input()
		again := &in.Observed.Units[0].Actors[0]
		again.Attempt, again.StartedAt, again.Lease = 2, seconds(15), 0x2f
		in.Registered["default"] = state.Registrations{Known: true, Instances: []state.Instance{{Lease: 0x2f}}}
		j.round(in, result, putAtNoon, true)
		if got := strings.Join(j.lines(), "\n"); !strings.Contains(got, "execute < start unit: 5s to 15s\nregister < start unit: 15s to 21s") {
			t.Errorf("got\n%s", got)
		}
	})
}

func TestTracesOfRevisionsThatChange(t *testing.T) {
	t.Run("of every role one has to serve", func(t *testing.T) {
		j := newJourney()
		j.begun(true)
		const decode = "1a2b3c4d_m_decode_0"
		j.happened(events.Event{Type: events.TypeStart, Time: seconds(2), Data: events.Data{Server: "default", Model: "m", Unit: decode, SpecRevision: 6}}, true)
		u := aWorker(1, nil)
		u.Unit, u.Role = decode, state.RoleDecode
		last := wholeWay()[3]
		last.units = []*state.Unit{u}
		j.see(true, last)
		if got := j.lines(); len(got) != 0 {
			t.Errorf("without decode: %q", got)
		}
		in, result := last.input()
		result.Statuses[0].Placements = append(result.Statuses[0].Placements, state.PlacementStatus{Unit: decode, State: "Ready"})
		j.round(in, result, putAtNoon, true)
		if got := strings.Join(j.lines(), "\n"); strings.Count(got, "start unit < serve model") != 2 {
			t.Errorf("got\n%s", got)
		}
	})
	t.Run("a spec bucket that was recreated", func(t *testing.T) {
		j := newJourney()
		j.begun(true)
		in, result := wholeWay()[0].input()
		in.Desired.Models[0].Accepted = 1
		j.round(in, result, putAtNoon, true)
		if got := j.journeys[state.ModelKey("default", "m")].revision; got != 1 {
			t.Errorf("revision %d is followed", got)
		}
	})
}

func TestAStartNamesItsTrace(t *testing.T) {
	l, term, _ := actingLoop(t)
	js, err := jetstream.New(l.app.nc)
	if err != nil {
		t.Fatal(err)
	}
	in, plan := aPlan()
	in.Desired.Models = []*actors.DesiredModel{{Server: "default", Name: "m", Accepted: 6}}
	parents := func(from uint64) map[string]string {
		out := map[string]string{}
		for e, err := range events.Tail(t.Context(), js, events.TailOptions{FromSeq: from}) {
			if err != nil {
				t.Fatal(err)
			}
			out[e.Type+" "+e.Data.Unit] = e.TraceParent
		}
		return out
	}
	carryOut(t, l, term, in, actors.Result{Starts: plan.Starts}, nil)
	for what, parent := range parents(1) {
		if parent != "" {
			t.Errorf("%s names %s though traces are off", what, parent)
		}
	}
	clear(l.sent)
	l.app.traces = newJourney().traces
	l.app.traces.round(in, actors.Result{}, putAtNoon, true)
	in.Observed.Agent.Incarnation++ // so that the commands are new ones
	carryOut(t, l, term, in, actors.Result{Starts: plan.Starts, Stops: plan.Stops}, nil)
	got := parents(1)
	if p := got["start 1a2b3c4d_m_DP1"]; !strings.HasPrefix(p, "00-") || len(p) != 55 {
		t.Errorf("the start of a worker names %q", p)
	}
	if got["start infra"] != "" || got["stop 1a2b3c4d_m_DP0"] != "" {
		t.Errorf("others name a trace: %v", got)
	}
}
