package app

import (
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"dynctl/actors"
	"dynctl/cmd/internal/version"
	"dynctl/events"
	"dynctl/state"
)

// metrics are what Prometheus is told. Gauges are read from the last round when
// they are asked for, so that nothing is left of what is gone; counters move only
// in the reconciler that acts, so that several of them add up.
type metrics struct {
	registry    *prometheus.Registry
	rounds      *prometheus.CounterVec
	duration    prometheus.Histogram
	isLeader    prometheus.Gauge
	restarts    *prometheus.CounterVec
	timeToReady *prometheus.HistogramVec
	rejected    *prometheus.CounterVec
	swept       *prometheus.CounterVec
	resyncs     *prometheus.CounterVec

	mu      sync.Mutex
	leads   bool
	changes *changes
	// sweeps are why units are being swept, from the command to its end.
	sweeps map[state.UnitKey]string
	// begun are the actors whose restarts have series, declared the models of which that was
	// last looked for.
	begun    map[restart]bool
	declared []*actors.DesiredModel
}

// maxSweeps bounds the sweeps that are remembered.
const maxSweeps = 1024

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		rounds: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "dynctl_reconcile_total",
			Help: "Rounds of the reconciler, by what came of them: acted, idle, quiet (left out, since nothing had changed), " +
				"blind (what runs is not known), loading (the specs are not)."}, []string{"result"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "dynctl_reconcile_duration_seconds", Help: "Time to read the state and plan.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 3, 10)}),
		isLeader: prometheus.NewGauge(prometheus.GaugeOpts{Name: "dynctl_leader", Help: "1 while this reconciler acts."}),
		restarts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "dynctl_restarts_total",
			Help: "Executions after the first of an actor, by how the one before ended or why it was replaced. The model is empty for etcd, NATS and the frontend."},
			[]string{"server", "model", "role", "reason"}),
		timeToReady: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "dynctl_time_to_ready_seconds",
			Help:    "From the execution of a worker to its being registered and listed by the frontend.",
			Buckets: []float64{0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600}}, []string{"role"}),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "dynctl_spec_rejected_total", Help: "Revisions of specs that were rejected."}, []string{"reason"}),
		swept:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "dynctl_orphans_swept_total", Help: "Units that were swept, by why."}, []string{"kind"}),
		resyncs: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "dynctl_watch_resyncs_total",
			Help: "Times that a view of a bucket or of an etcd had to be reloaded, by why: reconnect, recreated, gap, closed, lost, went-back. Each reconciler counts its own."},
			[]string{"cause"}),
		changes: newChanges(), sweeps: map[state.UnitKey]string{}, begun: map[restart]bool{},
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "dynctl_build_info", Help: "Always 1."}, []string{"version"})
	build.WithLabelValues(version.Get().Version).Set(1)
	m.registry.MustRegister(m.rounds, m.duration, m.isLeader, m.restarts, m.timeToReady, m.rejected, m.swept, m.resyncs, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.begin()
	return m
}

// resynced counts a view that is reloaded.
func (m *metrics) resynced(cause string) { m.resyncs.WithLabelValues(cause).Inc() }

func (m *metrics) planned(d time.Duration) { m.duration.Observe(d.Seconds()) }

func (m *metrics) leader(yes bool) {
	m.mu.Lock()
	m.leads = yes
	m.mu.Unlock()
	m.isLeader.Set(0)
	if yes {
		m.isLeader.Set(1)
	}
}

// rested counts a round that was left out, since it would have concluded what the last did.
func (m *metrics) rested() { m.rounds.WithLabelValues(roundQuiet).Inc() }

// round counts what changed since the round before.
func (m *metrics) round(in actors.Input, r actors.Result) {
	result := roundIdle
	switch {
	case !in.Desired.Synced:
		result = roundLoading
	case !in.Observed.Synced:
		result = roundBlind
	case len(r.Starts)+len(r.Stops)+len(r.Sweeps)+len(r.Revokes) > 0:
		result = roundActed
	}
	m.rounds.WithLabelValues(result).Inc()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.beginRestarts(in)
	restarts, ready := m.changes.since(in, r)
	if !m.leads {
		return
	}
	for _, x := range restarts {
		m.restarts.WithLabelValues(x.server, x.model, x.role, x.reason).Add(float64(x.n))
	}
	for _, x := range ready {
		m.timeToReady.WithLabelValues(x.role).Observe(x.took.Seconds())
	}
}

// happened counts an event of the stream.
func (m *metrics) happened(e events.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := state.UnitKey{Server: e.Data.Server, Unit: e.Data.Unit}
	switch e.Type {
	case events.TypeSpecRejected:
		if m.leads {
			m.rejected.WithLabelValues(constant(e.Data.Reason, state.Reasons())).Inc()
		}
	case events.TypeSweep:
		if len(m.sweeps) >= maxSweeps {
			clear(m.sweeps)
		}
		m.sweeps[key] = e.Data.Reason
	case events.TypeOrphanSwept:
		if m.leads {
			m.swept.WithLabelValues(constant(m.sweeps[key], actors.Reasons())).Inc()
		}
		delete(m.sweeps, key)
	}
}

// constant is a reason as a label: anybody may write into the stream, and a set
// of labels must not grow without bound.
func constant(reason string, known []string) string {
	if slices.Contains(known, reason) {
		return reason
	}
	return other
}
