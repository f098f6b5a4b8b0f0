package app

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"dynctl/actors"
	"dynctl/events"
	"dynctl/state"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// aWorker is a unit of one worker at an attempt; unready ones are not in a status.
func aWorker(attempt int, exit *state.Exit) *state.Unit {
	return &state.Unit{
		Server: "default", Unit: "1a2b3c4d_m_DP0", Model: "m", StoreID: "ours", Generation: "1a2b3c4d", State: state.UnitRunning,
		Actors: []state.Actor{{
			Name: "dynamo_default_1a2b3c4d_Dynamo_DP0_m", IP: "10.0.0.5", ChildPID: 7, Attempt: attempt, Exit: exit,
			StartedAt: noon.Add(time.Duration(attempt) * time.Minute), Ports: map[string]int{actors.PortSystem: 20300, actors.PortKV: 20080},
		}},
	}
}

func anInfra() *state.Unit {
	actor := func(label, port string, number int) state.Actor {
		return state.Actor{Name: "dynamo_default_00c0ffee_" + label, IP: "10.0.0.4", ChildPID: 8, Attempt: 1, Ports: map[string]int{port: number}}
	}
	return &state.Unit{
		Server: "default", Unit: actors.InfraUnit, StoreID: "ours", Generation: "00c0ffee", State: state.UnitRunning,
		Actors: []state.Actor{actor(actors.LabelEtcd, actors.PortEtcd, 2379), actor(actors.LabelNATS, actors.PortNATS, 4222), actor(actors.LabelFrontend, actors.PortHTTP, 8000)},
	}
}

func roundOf(after time.Duration, units ...*state.Unit) actors.Input {
	return actors.Input{
		Now: noon.Add(after), Policy: actors.Policy{StoreID: "ours"}, Desired: actors.Desired{Synced: true},
		Observed: state.Observed{Synced: true, Units: units},
	}
}

func ready(units ...string) actors.Result {
	s := state.Status{Kind: state.KindModel, Server: "default", Name: "m"}
	for _, u := range units {
		s.Placements = append(s.Placements, state.PlacementStatus{Unit: u, State: "Ready"})
	}
	return actors.Result{Statuses: []*state.Status{&s}}
}

// moved leaves out counters and histograms that never moved: many are made at the
// start.
func moved(g prometheus.Gatherer) prometheus.Gatherer {
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		families, err := g.Gather()
		for _, f := range families {
			f.Metric = slices.DeleteFunc(f.Metric, func(m *dto.Metric) bool {
				return m.Counter != nil && m.Counter.GetValue() == 0 || m.Histogram != nil && m.Histogram.GetSampleCount() == 0
			})
		}
		return slices.DeleteFunc(families, func(f *dto.MetricFamily) bool { return len(f.Metric) == 0 }), err
	})
}

func compare(t *testing.T, g prometheus.Gatherer, want string, names ...string) {
	t.Helper()
	if err := testutil.GatherAndCompare(moved(g), strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
}

func TestRestartsAreCountedByHowTheAttemptBeforeEnded(t *testing.T) {
	start := func(reason string, number int) actors.Result {
		u := aWorker(1, nil)
		return actors.Result{Starts: []actors.Start{{
			Template: actors.UnitTemplate{Server: u.Server, Unit: u.Unit}, Reason: reason,
			Attempts: map[string]actors.Attempt{u.Actors[0].Name: {Number: number}},
		}}}
	}
	for _, tc := range []struct {
		name   string
		leads  bool
		inputs []actors.Input
		result actors.Result // of the first round
		want   string        // series, without the name
	}{
		{"what ran before this process is not counted", true, []actors.Input{roundOf(0, aWorker(4, nil)), roundOf(1, aWorker(4, nil))}, actors.Result{}, ""},
		{"an exit", true, []actors.Input{roundOf(0, aWorker(1, nil)), roundOf(1, aWorker(2, &state.Exit{Attempt: 1, Reason: "Hung"}))}, actors.Result{}, `{model="m",reason="Hung",role="aggregated",server="default"} 1`},
		{"two between rounds", true, []actors.Input{roundOf(0, aWorker(1, nil)), roundOf(1, aWorker(3, &state.Exit{Attempt: 2, Reason: "Exited"}))}, actors.Result{}, `{model="m",reason="Exited",role="aggregated",server="default"} 2`},
		{"a new unit that crashed before it was first seen", true, []actors.Input{roundOf(0), roundOf(1, aWorker(2, &state.Exit{Attempt: 1, Reason: "Exited"}))}, actors.Result{}, `{model="m",reason="Exited",role="aggregated",server="default"} 1`},
		{"asked for", true, []actors.Input{roundOf(0, aWorker(1, nil)), roundOf(1, aWorker(2, nil))}, start(actors.ReasonRestartAsked, 2), `{model="m",reason="RestartAsked",role="aggregated",server="default"} 1`},
		{"a reason that is none", true, []actors.Input{roundOf(0, aWorker(1, nil)), roundOf(1, aWorker(2, &state.Exit{Attempt: 1, Reason: "made up"}))}, actors.Result{}, `{model="m",reason="Other",role="aggregated",server="default"} 1`},
		{"a standby counts nothing", false, []actors.Input{roundOf(0, aWorker(1, nil)), roundOf(1, aWorker(2, nil))}, actors.Result{}, ""},
		{"an agent that is away changes nothing", true, []actors.Input{roundOf(0, aWorker(2, nil)), {Policy: actors.Policy{StoreID: "ours"}}, roundOf(1, aWorker(2, nil))}, actors.Result{}, ""},
		{"units of another store", true, []actors.Input{roundOf(0), {Now: noon, Policy: actors.Policy{StoreID: "other"}, Observed: state.Observed{Synced: true, Units: []*state.Unit{aWorker(5, nil)}}}}, actors.Result{}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := newMetrics()
			m.leader(tc.leads)
			r := tc.result
			for _, in := range tc.inputs {
				m.round(in, r)
				r = actors.Result{}
			}
			want := ""
			if tc.want != "" {
				want = "# HELP dynctl_restarts_total Executions after the first of an actor, by how the one before ended or why it was replaced. The model is empty for etcd, NATS and the frontend.\n# TYPE dynctl_restarts_total counter\ndynctl_restarts_total" + tc.want + "\n"
			}
			compare(t, m.registry, want, "dynctl_restarts_total")
		})
	}
}

func TestRestartsOfInfraAreByItsParts(t *testing.T) {
	m := newMetrics()
	m.leader(true)
	m.round(roundOf(0, anInfra()), actors.Result{})
	later := anInfra()
	later.Actors[2].Attempt, later.Actors[2].Exit = 2, &state.Exit{Attempt: 1, Reason: "Killed"}
	m.round(roundOf(1, later), actors.Result{})
	if got := testutil.ToFloat64(m.restarts.WithLabelValues("default", "", "frontend", "Killed")); got != 1 {
		t.Errorf("%v restarts of the frontend, want 1", got)
	}
}

// What is the same to the bit as in the round before is not looked at again, and what
// comes and goes is counted as it is without that.
func TestChangesAreFoundAmongWhatRests(t *testing.T) {
	m := newMetrics()
	m.leader(true)
	worker := func(i, attempt int) *state.Unit {
		u := aWorker(attempt, &state.Exit{Attempt: attempt - 1, Reason: "Exited"})
		u.Unit, u.Actors[0].Name = fmt.Sprintf("1a2b3c4d_m_DP%d", i), fmt.Sprintf("actor%d", i)
		return u
	}
	rest := make([]*state.Unit, 0, 6)
	for i := range 6 {
		rest = append(rest, worker(i, 3))
	}
	round := func(units []*state.Unit) {
		t.Helper()
		r := ready()
		for _, u := range units {
			r.Statuses[0].Placements = append(r.Statuses[0].Placements, state.PlacementStatus{Unit: u.Unit, State: "Ready"})
		}
		m.round(roundOf(time.Hour, units...), r)
	}
	round(rest)
	round(rest)
	changed := slices.Clone(rest)
	changed[2] = worker(2, 5)
	round(changed)
	round(changed[1:])
	round(changed[:5]) // the first is there again, with two attempts before it was seen; the last is gone
	round(changed[:5])
	if got := testutil.ToFloat64(m.restarts.WithLabelValues("default", "m", "aggregated", "Exited")); got != 4 {
		t.Errorf("%v restarts, want 4", got)
	}
	if got := len(m.changes.attempts); got != 5 {
		t.Errorf("%d actors are remembered, and 5 exist", got)
	}
	var sample dto.Metric
	if err := m.timeToReady.WithLabelValues("aggregated").(prometheus.Metric).Write(&sample); err != nil || sample.GetHistogram().GetSampleCount() != 2 {
		t.Errorf("%v (%v), want 2 executions that became ready: the third worker's second, and the first's once more", sample.GetHistogram(), err)
	}
}

func TestTimeToReadyIsObservedOncePerExecution(t *testing.T) {
	m := newMetrics()
	m.leader(true)
	u := aWorker(1, nil)
	m.round(roundOf(0), ready())
	m.round(roundOf(61*time.Second, u), ready())
	m.round(roundOf(68*time.Second, u), ready(u.Unit))  // 8 s after its execution
	m.round(roundOf(69*time.Second, u), ready())        // a blip of etcd
	m.round(roundOf(90*time.Second, u), ready(u.Unit))  // and back: no new execution
	m.round(roundOf(100*time.Second, u), ready(u.Unit)) // nothing new
	u = aWorker(2, &state.Exit{Attempt: 1})
	m.round(roundOf(160*time.Second, u), ready(u.Unit)) // 40 s after its execution
	compare(t, m.registry, `# HELP dynctl_time_to_ready_seconds From the execution of a worker to its being registered and listed by the frontend.
# TYPE dynctl_time_to_ready_seconds histogram
`+buckets(8, 40)+`dynctl_time_to_ready_seconds_sum{role="aggregated"} 48
dynctl_time_to_ready_seconds_count{role="aggregated"} 2
`, "dynctl_time_to_ready_seconds")
	m.round(roundOf(170*time.Second), ready())
	if len(m.changes.ready)+len(m.changes.attempts) != 0 {
		t.Error("what is gone is remembered")
	}
}

// buckets are the series of a histogram of the values.
func buckets(values ...float64) string {
	var b strings.Builder
	for _, le := range []string{"0.5", "1", "2", "5", "10", "20", "30", "60", "120", "300", "600", "1200", "1800", "3600", "+Inf"} {
		n := 0
		var bound float64
		_ = json.Unmarshal([]byte(le), &bound)
		for _, v := range values {
			if le == "+Inf" || v <= bound {
				n++
			}
		}
		b.WriteString(`dynctl_time_to_ready_seconds_bucket{role="aggregated",le="` + le + `"} ` + string(rune('0'+n)) + "\n")
	}
	return b.String()
}

func TestWorkersThatWereReadyBeforeAreNotObserved(t *testing.T) {
	m := newMetrics()
	m.leader(true)
	u := aWorker(1, nil)
	m.round(roundOf(time.Hour, u), ready(u.Unit))
	m.round(roundOf(2*time.Hour, u), ready(u.Unit))
	compare(t, m.registry, "", "dynctl_time_to_ready_seconds")
}

func TestEventsAreCounted(t *testing.T) {
	m := newMetrics()
	rejected := func(reason string) events.Event {
		return events.Event{Type: events.TypeSpecRejected, Data: events.Data{Reason: reason}}
	}
	m.happened(rejected(state.ReasonManagedFlag)) // not the leader yet
	m.leader(true)
	m.happened(rejected(state.ReasonManagedFlag))
	m.happened(rejected("anything that anybody writes"))
	sweep := events.Data{Server: "default", Unit: "x", Reason: actors.ReasonLeftover}
	m.happened(events.Event{Type: events.TypeSweep, Data: sweep})
	sweep.Reason = "Stopped"
	m.happened(events.Event{Type: events.TypeOrphanSwept, Data: sweep})
	m.happened(events.Event{Type: events.TypeOrphanSwept, Data: sweep}) // nobody knows why
	compare(t, m.registry, `# HELP dynctl_spec_rejected_total Revisions of specs that were rejected.
# TYPE dynctl_spec_rejected_total counter
dynctl_spec_rejected_total{reason="ManagedFlag"} 1
dynctl_spec_rejected_total{reason="Other"} 1
`, "dynctl_spec_rejected_total")
	compare(t, m.registry, `# HELP dynctl_orphans_swept_total Units that were swept, by why.
# TYPE dynctl_orphans_swept_total counter
dynctl_orphans_swept_total{kind="Leftover"} 1
dynctl_orphans_swept_total{kind="Other"} 1
`, "dynctl_orphans_swept_total")
	if len(m.sweeps) != 0 {
		t.Error("sweeps that are over are remembered")
	}
	for range 3 * maxSweeps {
		sweep.Unit += "x"
		m.happened(events.Event{Type: events.TypeSweep, Data: sweep})
	}
	if len(m.sweeps) > maxSweeps {
		t.Errorf("%d sweeps are remembered", len(m.sweeps))
	}
}

// gaugesOf is a registry of the gauges alone, over a snapshot, where no agent stands by.
func gaugesOf(s *snapshot) *prometheus.Registry { return gaugesWith(s, nil) }

func gaugesWith(s *snapshot, standby *state.StandbyAgent) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(&gauges{snapshot: func() *snapshot { return s }, standby: func() *state.StandbyAgent { return standby }, spooled: func() int { return 3 }, dropped: func() uint64 { return 2 }})
	return r
}

func TestGaugesAreThoseOfTheLastRound(t *testing.T) {
	in := roundOf(0)
	in.Desired.Models = []*actors.DesiredModel{
		{Server: "default", Name: "m", Revision: 40, Status: &state.Status{ObservedRevision: 40}},
		{Server: "default", Name: "n", Revision: 44, Status: &state.Status{ObservedRevision: 38}},
	}
	in.Desired.Servers = []actors.DesiredServer{{Name: "default", Revision: 2, Status: &state.Status{ObservedRevision: 2}}}
	result := actors.Result{
		Orphans: []actors.Orphan{{}},
		Statuses: []*state.Status{{
			Kind: state.KindModel, Server: "default", Name: "m",
			Conditions: []state.Condition{{Type: "Ready", Status: "True"}, {Type: "Available", Status: "False"}, {Type: "Scheduled", Status: "Unknown"}},
			Roles:      map[string]state.RoleStatus{"decode": {Desired: 4, Running: 3, Ready: 2, Updated: 1}},
		}},
	}
	registry := gaugesOf(&snapshot{in, result})
	compare(t, registry, `# HELP dynctl_condition 1 True, 0 False, -1 Unknown. The model is empty for a server.
# TYPE dynctl_condition gauge
dynctl_condition{model="m",server="default",type="Available"} 0
dynctl_condition{model="m",server="default",type="Ready"} 1
dynctl_condition{model="m",server="default",type="Scheduled"} -1
# HELP dynctl_replicas Workers: desired, running, ready, updated (of the wanted generation).
# TYPE dynctl_replicas gauge
dynctl_replicas{model="m",role="decode",server="default",state="desired"} 4
dynctl_replicas{model="m",role="decode",server="default",state="ready"} 2
dynctl_replicas{model="m",role="decode",server="default",state="running"} 3
dynctl_replicas{model="m",role="decode",server="default",state="updated"} 1
# HELP dynctl_kv_revision_lag By how many revisions of the spec bucket the statuses are behind.
# TYPE dynctl_kv_revision_lag gauge
dynctl_kv_revision_lag 4
# HELP dynctl_orphans Units that nothing asks for and that wait for dynctl sweep.
# TYPE dynctl_orphans gauge
dynctl_orphans 1
# HELP dynctl_events_spooled Facts that are not in the event stream yet.
# TYPE dynctl_events_spooled gauge
dynctl_events_spooled 3
# HELP dynctl_events_dropped_total Facts that were given up because the spool was full.
# TYPE dynctl_events_dropped_total counter
dynctl_events_dropped_total 2
`)
	problems, err := testutil.GatherAndLint(registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}

func TestAgeAndBackoffCountFromNow(t *testing.T) {
	until := time.Now().Add(time.Hour)
	in := actors.Input{Observed: state.Observed{Agent: &state.Agent{At: time.Now().Add(-time.Minute)}}}
	result := actors.Result{Statuses: []*state.Status{{Kind: state.KindModel, Roles: map[string]state.RoleStatus{"decode": {BackoffUntil: &until}}}}}
	families, err := gaugesOf(&snapshot{in, result}).Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		got[f.GetName()] = f.GetMetric()[0].GetGauge().GetValue()
	}
	if age := got["dynctl_observe_age_seconds"]; age < 60 || age > 120 {
		t.Errorf("the agent's word is %v s old", age)
	}
	if left := got["dynctl_backoff_seconds"]; left > 3600 || left < 3500 {
		t.Errorf("the backoff lasts %v s", left)
	}
}

func TestBeforeTheFirstRoundThereAreFewGauges(t *testing.T) {
	n, err := testutil.GatherAndCount(gaugesOf(nil))
	if err != nil || n != 2 {
		t.Errorf("%d series, %v", n, err)
	}
}

func TestRevisionLag(t *testing.T) {
	status := func(observed uint64) *state.Status { return &state.Status{ObservedRevision: observed} }
	for _, tc := range []struct {
		name   string
		models []*actors.DesiredModel
		want   uint64
	}{
		{"nothing", nil, 0},
		{"all seen", []*actors.DesiredModel{{Revision: 7, Status: status(7)}, {Revision: 9, Status: status(9)}}, 0},
		{"a new one beside one that is seen", []*actors.DesiredModel{{Revision: 7, Status: status(7)}, {Revision: 8}}, 1},
		{"an old one edited", []*actors.DesiredModel{{Revision: 12, Status: status(3)}, {Revision: 9, Status: status(9)}}, 3},
		{"the only one is new", []*actors.DesiredModel{{Revision: 5}}, 5},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := revisionLag(actors.Desired{Models: tc.models}); got != tc.want {
				t.Errorf("lag %d, want %d", got, tc.want)
			}
		})
	}
}

// A round in which one unit has changed costs that unit, beside however many rest.
func TestMetricsOfOneChangeAllocateForItselfAlone(t *testing.T) {
	const units, atMost = 2000, 60
	m := newMetrics()
	m.leader(true)
	rest := make([]*state.Unit, units)
	r := actors.Result{Statuses: make([]*state.Status, units)}
	for i := range rest {
		rest[i] = aWorker(1, nil)
		rest[i].Unit = fmt.Sprintf("unit%05d", i)
		r.Statuses[i] = &state.Status{Kind: state.KindModel, Server: "default", Name: fmt.Sprintf("m%05d", i),
			Placements: []state.PlacementStatus{{Unit: rest[i].Unit, State: "Ready"}}}
	}
	before := roundOf(time.Hour, rest...)
	changed := slices.Clone(rest)
	changed[7] = aWorker(1, nil)
	changed[7].Unit = rest[7].Unit
	after := roundOf(time.Hour, changed...)
	m.round(before, r)
	again := r
	again.Statuses = slices.Clone(r.Statuses)
	if n := testing.AllocsPerRun(10, func() { m.round(after, again); m.round(before, r) }); n > 2*atMost {
		t.Errorf("one changed unit of %d allocates %.0f times, want %d at most", units, n/2, atMost)
	}
}
