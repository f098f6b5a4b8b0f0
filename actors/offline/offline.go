package offline

import (
	"cmp"
	"slices"

	"dynctl/actors"
	"dynctl/actors/accept"
	"dynctl/actors/place"
	"dynctl/actors/render"
	"dynctl/state"
)

// Input is what can be known without a cluster.
type Input struct {
	// Docs are decoded documents; of two with one key the later counts.
	Docs []state.Doc
	// Nodes are the nodes to place on. One without labels carries Ray's own label
	// for its type; one with 0 CPUs is taken to have enough of them.
	Nodes []state.Node
	// Generation fixes every generation; empty: as it is.
	Generation string
}

// Rendered is exactly what would run, in start order: infra, the models by name
// (decode before prefill), the frontend. Placeholders other than ports are left.
type Rendered struct {
	PlacementGroups []RenderedGroup     `json:"placementGroups"`
	Actors          []RenderedActor     `json:"actors"`
	Router          state.RouterStatus  `json:"router"` // of the first server by name
	Rejected        []RenderedRejection `json:"rejected"`
	Pending         []RenderedPending   `json:"pending"`
	// Warnings are what accepted documents say and what does not do what it seems to.
	Warnings []state.Warning `json:"warnings"`
}

// RenderedGroup is one placement group.
type RenderedGroup struct {
	Name     string              `json:"name"`
	Strategy string              `json:"strategy"`
	Bundles  []state.BundleShape `json:"bundles"`
	Selector []map[string]string `json:"bundleLabelSelector"`
}

// RenderedActor is one actor with what it executes.
type RenderedActor struct {
	Name           string                    `json:"name"`
	PlacementGroup string                    `json:"placementGroup"`
	Bundle         int                       `json:"bundle"`
	GPUs           int                       `json:"gpus"`
	Argv           []string                  `json:"argv"`
	Env            map[string]state.EnvValue `json:"env"`
	RuntimeEnv     state.Args                `json:"runtimeEnv"`
}

// RenderedRejection is an object that is not valid.
type RenderedRejection struct {
	Key     string `json:"key"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// RenderedPending is a unit that has no room.
type RenderedPending struct {
	Unit   string `json:"unit"`
	Reason string `json:"reason"`
}

// Render renders what the documents would run on empty nodes.
func Render(in Input) Rendered {
	desired, _ := accept.Revisions(accept.Input{Synced: true, Entries: offlineEntries(in.Docs), Nodes: in.Nodes})
	out := Rendered{
		PlacementGroups: []RenderedGroup{},
		Actors:          []RenderedActor{},
		Rejected:        rejectionsOf(desired),
		Pending:         []RenderedPending{},
		Warnings:        warningsOf(desired),
	}
	if len(desired.Servers) > 0 {
		out.Router = desired.Servers[0].Router
	}
	ports := newPortBook(desired.Servers)
	nodes := place.Empty(in.Nodes)
	for _, s := range desired.Servers {
		o := &offlineServer{DesiredServer: s, nodes: nodes}
		o.take(desired.Models, in.Generation)
		if !s.Explicit && len(o.models) == 0 {
			continue
		}
		o.place()
		nodes = o.nodes
		o.emit(&out, ports)
	}
	return out
}

// offlineEntries numbers the documents as if they were written one after another.
func offlineEntries(docs []state.Doc) []*accept.Entry {
	var entries []*accept.Entry
	for i, doc := range docs {
		e := &accept.Entry{Revision: uint64(i + 1), Doc: doc}
		if rule := doc.CheckSize(); rule != nil {
			e.Err = rule
		}
		switch {
		case doc.Object.Server != nil:
			e.Key = state.ServerKey(doc.Object.Server.Metadata.Name)
		case doc.Object.Model != nil:
			m := doc.Object.Model.WithDefaults()
			e.Key = state.ModelKey(m.Metadata.Server, m.Metadata.Name)
		}
		entries = slices.DeleteFunc(entries, func(x *accept.Entry) bool { return x.Key == e.Key })
		entries = append(entries, e)
	}
	return entries
}

func rejectionsOf(d actors.Desired) []RenderedRejection {
	out := []RenderedRejection{}
	add := func(k state.Key, r *actors.Rejection) {
		if r != nil {
			out = append(out, RenderedRejection{Key: k.String(), Reason: r.Reason, Message: r.Message})
		}
	}
	for _, s := range d.Servers {
		add(state.ServerKey(s.Name), s.Rejected)
	}
	for _, m := range d.Models {
		add(state.ModelKey(m.Server, m.Name), m.Rejected)
	}
	return out
}

// warningsOf are those of all accepted objects: servers before their models.
func warningsOf(d actors.Desired) []state.Warning {
	out := []state.Warning{}
	for _, s := range d.Servers {
		out = append(out, s.Warnings...)
		for _, m := range d.Models {
			if m.Server == s.Name {
				out = append(out, m.Warnings...)
			}
		}
	}
	return out
}

// offlineServer is one server with its accepted models while they are laid out.
type offlineServer struct {
	actors.DesiredServer
	models []*actors.DesiredModel // by name
	nodes  []place.Room
	// shapes is what has room, by unit; unfit why another has none.
	shapes map[string]place.Shape
	unfit  map[string]*place.Unfit
}

// take keeps the accepted models of the server, in the generation asked for.
func (o *offlineServer) take(models []*actors.DesiredModel, generation string) {
	if generation != "" {
		o.Template = render.ServerInGeneration(o.Template, generation)
	}
	for _, m := range models {
		if m.Server != o.Name || m.Accepted == 0 {
			continue
		}
		if generation != "" {
			m = new(*m)
			m.Template.Generation = generation
			in := render.ModelInput{Server: o.Name, ServerSpec: o.Spec, Model: m.Name, Spec: m.Spec}
			// It was rendered once, so it can be.
			m.Template, _ = in.InGeneration(m.Template)
		}
		o.models = append(o.models, m)
	}
}

// place gives room to the infra unit, then to models by priority and name: one
// worker of each role after the other, so that what fits can serve.
func (o *offlineServer) place() {
	o.shapes, o.unfit = map[string]place.Shape{}, map[string]*place.Unfit{}
	shape, unfit := place.Infra(o.Template.Needs, o.nodes)
	o.settle(actors.InfraUnit, shape, unfit)
	byPriority := slices.Clone(o.models)
	slices.SortStableFunc(byPriority, func(a, b *actors.DesiredModel) int { return cmp.Compare(b.Spec.Priority, a.Spec.Priority) })
	for _, m := range byPriority {
		most := 0
		for _, r := range m.Template.Roles {
			most = max(most, m.Spec.RoleReplicas(r.Role))
		}
		for index := range most {
			for _, r := range m.Template.Roles {
				if index < m.Spec.RoleReplicas(r.Role) {
					shape, unfit := place.Worker(r.Needs, o.nodes)
					o.settle(m.Template.UnitID(r.Role, index), shape, unfit)
				}
			}
		}
	}
}

func (o *offlineServer) settle(unit string, shape place.Shape, unfit *place.Unfit) {
	if unfit != nil {
		o.unfit[unit] = unfit
		return
	}
	o.shapes[unit] = shape
	o.nodes = shape.Take(o.nodes)
}

// emit writes the server's units in start order.
func (o *offlineServer) emit(out *Rendered, ports *portBook) {
	book := ports.server()
	infra := o.unit(out, actors.InfraUnit, func(s place.Shape) actors.UnitTemplate { return render.Infra(o.Template, "", s) })
	book.give(infra)
	services := slices.DeleteFunc(slices.Clone(infra.Actors), func(a actors.ActorTemplate) bool { return a.Label == actors.LabelFrontend })
	book.actors(out, infra, services)
	worker := 0
	for _, m := range o.models {
		for _, r := range m.Template.Roles {
			for index := range m.Spec.RoleReplicas(r.Role) {
				in := render.WorkerInput{Role: r, Index: index, Restart: m.Spec.Restart}
				if r.Role != state.RoleAggregated {
					in.Worker = worker
				}
				u := o.unit(out, m.Template.UnitID(r.Role, index), func(s place.Shape) actors.UnitTemplate {
					in.Shape = s
					return render.Worker(m.Template, in)
				})
				book.give(u)
				book.actors(out, u, u.Actors)
				if r.Role != state.RoleAggregated && len(u.Actors) > 0 {
					worker++
				}
			}
		}
	}
	book.actors(out, infra, infra.Actors[len(services):])
}

// unit is a unit that has room, whose group it writes; the others are pending.
func (o *offlineServer) unit(out *Rendered, id string, make func(place.Shape) actors.UnitTemplate) actors.UnitTemplate {
	if unfit := o.unfit[id]; unfit != nil {
		reason := unfit.Reason
		if o.Spec.Placement.WaitForNodes == state.True {
			reason = actors.ReasonWaitingForNodes
		}
		out.Pending = append(out.Pending, RenderedPending{Unit: id, Reason: reason})
		return actors.UnitTemplate{}
	}
	u := make(o.shapes[id])
	g := u.PlacementGroup
	out.PlacementGroups = append(out.PlacementGroups, RenderedGroup{
		Name: g.Name, Strategy: g.Strategy, Bundles: g.Bundles, Selector: g.Selector,
	})
	return u
}
