package app

import (
	"slices"
	"testing"

	"dynctl/actors"
	"dynctl/state"
)

// A model of which etcd has no worker and the frontend knows none is not asked for; as soon as
// one of both may have something to say, or is not known, it is.
func TestAModelIsAskedForOnceThereIsSomethingToHear(t *testing.T) {
	const generation, older, kept = "1a2b3c4d", "00000001", "00000002"
	input := func(regs state.Registrations, view state.FrontendView) actors.Input {
		return actors.Input{
			Desired:    actors.Desired{Servers: []actors.DesiredServer{{Name: "a"}, {Name: "default", Spec: state.ServerSpec{DynamoNamespace: "curator"}}}},
			Registered: map[string]state.Registrations{"default": regs}, Frontends: map[string]state.FrontendView{"default": view},
		}
	}
	m := &actors.DesiredModel{Server: "default", Name: "m", Spec: state.ModelSpec{ServedName: "acme/m"}, Template: actors.ModelTemplate{Generation: generation},
		Previous: &actors.ModelTemplate{Generation: older}, Others: []actors.ModelTemplate{{Generation: kept}}}
	holds := func(namespaces ...string) state.Registrations {
		r := state.Registrations{Known: true, Instances: []state.Instance{{Namespace: "a"}}}
		for _, n := range namespaces {
			r.Instances = append(r.Instances, state.Instance{Namespace: n})
		}
		return r
	}
	says := func(m state.FrontendModel) state.FrontendView {
		return state.FrontendView{Known: true, Models: map[string]state.FrontendModel{"acme/m": m}}
	}
	nothing := state.FrontendModel{Namespaces: map[string]state.FrontendNamespace{}}
	for name, tt := range map[string]struct {
		regs   state.Registrations
		view   state.FrontendView
		silent bool
	}{
		"nobody has a worker of it":       {holds(), says(nothing), true},
		"it was never asked for":          {holds(), state.FrontendView{Known: true}, true},
		"a worker of another generation":  {holds("curator-1a2b3c4e", "curator2-1a2b3c4d"), says(nothing), true},
		"a worker of it":                  {holds("curator-1a2b3c4d"), says(nothing), false},
		"one of the generation before":    {holds("curator-00000001"), says(nothing), false},
		"one of a generation that leaves": {holds("curator-00000002"), says(nothing), false},
		"etcd is not known":               {state.Registrations{}, says(nothing), false},
		"the frontend is not known":       {holds(), state.FrontendView{}, false},
		"the frontend lists it":           {holds(), says(state.FrontendModel{Listed: true}), false},
		"the frontend knows one role":     {holds(), says(state.FrontendModel{Namespaces: map[string]state.FrontendNamespace{"curator-1a2b3c4d": {}}}), false},
	} {
		if got := isSilent(input(tt.regs, tt.view), m); got != tt.silent {
			t.Errorf("%s: silent %t, want %t", name, got, tt.silent)
		}
	}
}

// The names to ask for stay at their place until another model is served, or one by another
// name.
func TestNamesToAskForStay(t *testing.T) {
	model := func(name, servedName string, accepted uint64) *actors.DesiredModel {
		return &actors.DesiredModel{Server: "default", Name: name, Accepted: accepted, Spec: state.ModelSpec{ServedName: servedName}}
	}
	var s served
	var was []string
	for _, step := range []struct {
		what   string
		models []*actors.DesiredModel
		names  []string
		stay   bool
	}{
		{"two of three are accepted", []*actors.DesiredModel{model("a", "x/a", 1), model("b", "b", 2), model("c", "c", 0)}, []string{"x/a", "b"}, false},
		{"other revisions of the same", []*actors.DesiredModel{model("a", "x/a", 7), model("b", "b", 2), model("c", "c", 0)}, []string{"x/a", "b"}, true},
		{"another name", []*actors.DesiredModel{model("a", "x/y", 8), model("b", "b", 2)}, []string{"x/y", "b"}, false},
		{"one has come", []*actors.DesiredModel{model("a", "x/y", 8), model("b", "b", 2), model("c", "c", 3)}, []string{"x/y", "b", "c"}, false},
		{"one is gone", []*actors.DesiredModel{model("b", "b", 2), model("c", "c", 3)}, []string{"b", "c"}, false},
	} {
		s.follow(step.models)
		now := s.names["default"]
		if !slices.Equal(now, step.names) {
			t.Errorf("%s: %q, want %q", step.what, now, step.names)
		}
		if stay := len(was) > 0 && &was[0] == &now[0]; stay != step.stay {
			t.Errorf("%s: the list stays: %t", step.what, stay)
		}
		was = now
	}
}
