package world

import (
	"dynctl/actors"
	"dynctl/state"
)

// Instance is what the worker of a unit registers under a lease. stem is the server's
// Dynamo namespace.
func Instance(stem, servedName string, u state.Unit, lease int64) state.Instance {
	return state.Instance{Namespace: actors.Namespace(stem, u.Generation), Component: actors.Component(state.Slug(servedName), u.Role),
		Endpoint: "generate", Lease: lease, Card: true}
}

// Listed is what the frontend of a server lists: a model is ready in a generation that
// is not gated once there is an instance of every role of it.
func Listed(server string, models []*actors.DesiredModel, instances []state.Instance, gated func(namespace string) bool) state.FrontendView {
	view := state.FrontendView{Known: true, Models: map[string]state.FrontendModel{}}
	for _, m := range models {
		if m.Server != server || m.Accepted == 0 {
			continue
		}
		slug := state.Slug(m.Spec.ServedNameOrModel())
		types := map[string]string{slug: state.ModeAggregated,
			actors.Component(slug, state.RolePrefill): state.RolePrefill, actors.Component(slug, state.RoleDecode): state.RoleDecode}
		listed := state.FrontendModel{Namespaces: map[string]state.FrontendNamespace{}}
		for _, i := range instances {
			typ, ok := types[i.Component]
			if !ok {
				continue
			}
			ns := listed.Namespaces[i.Namespace]
			if ns.Workers == nil {
				ns.Workers = map[string]int{}
			}
			ns.Workers[typ]++
			ns.Ready = !gated(i.Namespace) && (ns.Workers[state.ModeAggregated] > 0 || ns.Workers[state.RolePrefill] > 0 && ns.Workers[state.RoleDecode] > 0)
			listed.Namespaces[i.Namespace] = ns
		}
		for _, ns := range listed.Namespaces {
			listed.Ready = listed.Ready || ns.Ready
		}
		listed.Listed = listed.Ready
		view.Models[m.Spec.ServedNameOrModel()] = listed
	}
	return view
}
