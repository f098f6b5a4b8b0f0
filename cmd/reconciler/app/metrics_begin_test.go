package app

import (
	"slices"
	"testing"

	"dynctl/actors"
	"dynctl/state"
)

// series are the values of a metric by its labels, as "name=value" in order.
func series(t *testing.T, m *metrics, name string) map[string]float64 {
	t.Helper()
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, x := range f.GetMetric() {
			labels := ""
			for _, l := range x.GetLabel() {
				labels += l.GetName() + "=" + l.GetValue() + " "
			}
			out[labels] = x.GetCounter().GetValue()
		}
	}
	return out
}

func TestAFirstScrapeShowsEveryNameThatIsNotOfAModel(t *testing.T) {
	m := newMetrics()
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range families {
		names = append(names, f.GetName())
	}
	for _, want := range []string{
		"dynctl_reconcile_total", "dynctl_reconcile_duration_seconds", "dynctl_restarts_total", "dynctl_orphans_swept_total",
		"dynctl_time_to_ready_seconds", "dynctl_spec_rejected_total", "dynctl_leader", "dynctl_build_info",
	} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is not there", want)
		}
	}
	for name, want := range map[string][]string{
		"dynctl_reconcile_total":     {"result=acted ", "result=blind ", "result=idle ", "result=loading ", "result=quiet "},
		"dynctl_orphans_swept_total": {"kind=Leftover ", "kind=Orphan ", "kind=Other "},
		"dynctl_spec_rejected_total": {"reason=ManagedFlag ", "reason=Other "},
	} {
		got := series(t, m, name)
		for _, labels := range want {
			if v, there := got[labels]; !there || v != 0 {
				t.Errorf("%s{%s} is %v, there: %v", name, labels, v, there)
			}
		}
	}
}

func TestRestartsOfWhatIsDeclaredBeginAtZero(t *testing.T) {
	m := newMetrics()
	in := roundOf(0)
	in.Desired.Servers = []actors.DesiredServer{{Name: "two"}}
	in.Desired.Models = []*actors.DesiredModel{
		{Server: "two", Name: "m", Template: actors.ModelTemplate{Roles: []actors.RoleTemplate{{Role: state.RoleDecode}, {Role: state.RolePrefill}}}},
		{Server: "two", Name: "rejected"},
	}
	m.round(in, actors.Result{})
	m.round(in, actors.Result{}) // nothing twice
	got := series(t, m, "dynctl_restarts_total")
	for _, want := range []string{
		"model= reason=Exited role=etcd server=default ", "model= reason=Killed role=frontend server=two ",
		"model=m reason=Hung role=decode server=two ", "model=m reason=StartupTimeout role=prefill server=two ",
	} {
		if v, there := got[want]; !there || v != 0 {
			t.Errorf("%s is %v, there: %v", want, v, there)
		}
	}
	if want := (2*3 + 2) * len(exitReasons); len(got) != want {
		t.Errorf("%d series, want %d", len(got), want)
	}
}
