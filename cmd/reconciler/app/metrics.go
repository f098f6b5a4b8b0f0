package app

import (
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"dynctl/state"
)

// metrics are what Prometheus is told.
type metrics struct {
	registry   *prometheus.Registry
	rounds     *prometheus.CounterVec
	duration   prometheus.Histogram
	conditions *prometheus.GaugeVec
	replicas   *prometheus.GaugeVec
	isLeader   prometheus.Gauge
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		rounds:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "dynctl_reconcile_total", Help: "Rounds of the reconciler."}, []string{"result"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "dynctl_reconcile_duration_seconds", Help: "Time to read the state and plan.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 3, 10)}),
		conditions: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "dynctl_condition", Help: "1 True, 0 False, -1 Unknown."}, []string{"server", "model", "type"}),
		replicas:   prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "dynctl_replicas", Help: "Workers by state."}, []string{"server", "model", "role", "state"}),
		isLeader:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "dynctl_leader", Help: "1 while this reconciler acts."}),
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "dynctl_build_info", Help: "Always 1."}, []string{"version"})
	build.WithLabelValues(Version()).Set(1)
	m.registry.MustRegister(m.rounds, m.duration, m.conditions, m.replicas, m.isLeader, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Version is the version of this program as the Go toolchain recorded it.
func Version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

func (m *metrics) planned(d time.Duration) {
	m.rounds.WithLabelValues("planned").Inc()
	m.duration.Observe(d.Seconds())
}

func (m *metrics) leader(yes bool) {
	m.isLeader.Set(0)
	if yes {
		m.isLeader.Set(1)
	}
}

func (m *metrics) status(s state.Status) {
	for _, c := range s.Conditions {
		v := map[string]float64{state.StatusTrue: 1, state.StatusFalse: 0, state.StatusUnknown: -1}[c.Status]
		m.conditions.WithLabelValues(s.Server, s.Name, c.Type).Set(v)
	}
	for role, r := range s.Roles {
		for name, n := range map[string]int{"desired": r.Desired, "running": r.Running, "ready": r.Ready, "updated": r.Updated} {
			m.replicas.WithLabelValues(s.Server, s.Name, role, name).Set(float64(n))
		}
	}
}

func (m *metrics) forget(k state.Key) {
	labels := prometheus.Labels{"server": k.Server, "model": k.Name}
	m.conditions.DeletePartialMatch(labels)
	m.replicas.DeletePartialMatch(labels)
}
