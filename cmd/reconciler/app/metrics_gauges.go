package app

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dynctl/actors"
	"dynctl/state"
)

var (
	descCondition = prometheus.NewDesc("dynctl_condition", "1 True, 0 False, -1 Unknown. The model is empty for a server.", []string{"server", "model", "type"}, nil)
	descReplicas  = prometheus.NewDesc("dynctl_replicas", "Workers: desired, running, ready, updated (of the wanted generation).", []string{"server", "model", "role", "state"}, nil)
	descBackoff   = prometheus.NewDesc("dynctl_backoff_seconds", "How long until a role is executed again; absent where none waits.", []string{"server", "model", "role"}, nil)
	descAge       = prometheus.NewDesc("dynctl_observe_age_seconds", "Age of the agent's last heartbeat; absent where none was ever heard.", nil, nil)
	descStandby   = prometheus.NewDesc("dynctl_standby_agent_ready", "1 while an agent stands by to take over, 0 while it does not yet; absent where none is to.", nil, nil)
	descLag       = prometheus.NewDesc("dynctl_kv_revision_lag", "By how many revisions of the spec bucket the statuses are behind.", nil, nil)
	descOrphans   = prometheus.NewDesc("dynctl_orphans", "Units that nothing asks for and that wait for dynctl sweep.", nil, nil)
	descSpooled   = prometheus.NewDesc("dynctl_events_spooled", "Facts that are not in the event stream yet.", nil, nil)
	descDropped   = prometheus.NewDesc("dynctl_events_dropped_total", "Facts that were given up because the spool was full.", nil, nil)
)

// gauges tells Prometheus of the moment at which it asks.
type gauges struct {
	snapshot func() *snapshot
	standby  func() *state.StandbyAgent
	spooled  func() int
	dropped  func() uint64
}

// watch adds what is read from the app when it is asked for.
func (m *metrics) watch(a *App) {
	m.registry.MustRegister(&gauges{snapshot: a.snapshot.Load, standby: a.standby, spooled: a.publisher.Spooled, dropped: a.publisher.Dropped})
}

// Describe implements [prometheus.Collector].
func (g *gauges) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descCondition, descReplicas, descBackoff, descAge, descStandby, descLag, descOrphans, descSpooled, descDropped} {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (g *gauges) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(descSpooled, float64(g.spooled()))
	out <- prometheus.MustNewConstMetric(descDropped, prometheus.CounterValue, float64(g.dropped()))
	if b := g.standby(); b != nil {
		ready := 0.0
		if b.State == state.StandbyReady {
			ready = 1
		}
		gauge(descStandby, ready)
	}
	s := g.snapshot()
	if s == nil {
		return
	}
	now := time.Now()
	if agent := s.input.Observed.Agent; agent != nil {
		gauge(descAge, max(agent.Silence(now), 0).Seconds())
	}
	gauge(descLag, float64(revisionLag(s.input.Desired)))
	gauge(descOrphans, float64(len(s.result.Orphans)))
	for _, st := range s.result.Statuses {
		for _, c := range st.Conditions {
			v := map[string]float64{state.StatusTrue: 1, state.StatusFalse: 0, state.StatusUnknown: -1}[c.Status]
			gauge(descCondition, v, st.Server, st.Name, c.Type)
		}
		for role, r := range st.Roles {
			gauge(descReplicas, float64(r.Desired), st.Server, st.Name, role, "desired")
			gauge(descReplicas, float64(r.Running), st.Server, st.Name, role, "running")
			gauge(descReplicas, float64(r.Ready), st.Server, st.Name, role, "ready")
			gauge(descReplicas, float64(r.Updated), st.Server, st.Name, role, "updated")
			if r.BackoffUntil != nil && r.BackoffUntil.After(now) {
				gauge(descBackoff, r.BackoffUntil.Sub(now).Seconds(), st.Server, st.Name, role)
			}
		}
	}
}

// revisionLag compares the newest revision that no stored status speaks of with
// the newest that one does; 0 when every status is up to date.
func revisionLag(d actors.Desired) uint64 {
	var pending, seen uint64
	look := func(revision uint64, s *state.Status) {
		if s == nil || s.ObservedRevision != revision {
			pending = max(pending, revision)
		}
		if s != nil {
			seen = max(seen, s.ObservedRevision)
		}
	}
	for _, s := range d.Servers {
		look(s.Revision, s.Status)
	}
	for _, m := range d.Models {
		look(m.Revision, m.Status)
	}
	return pending - min(seen, pending)
}
