package app

import (
	"slices"
	"testing"

	"dynctl/actors"
	"dynctl/state"
)

// The detail of a fact about routing is what it tells of, with all models that
// caused it; its object stays the server's where one of them did.
func TestDetailOfRouting(t *testing.T) {
	kv, none := state.RouterStatus{Mode: "kv", Source: "auto"}, state.RouterStatus{Source: "auto"}
	in := actors.Input{Desired: actors.Desired{
		Servers: []actors.DesiredServer{{Name: "s", Router: kv, Template: actors.ServerTemplate{Router: none}}},
		Models:  []*actors.DesiredModel{{Server: "s", Name: "m", Router: state.RouterStatus{Mode: "random", Source: "model"}}},
	}}
	for _, row := range []struct{ typ, model, models, detail, object string }{
		{actors.FactRouterResolved, "", "a,b", `{"mode":"kv","kvEvents":false,"source":"auto","because":"","models":["a","b"]}`, "s"},
		{actors.FactRouterResolved, "m", "m", `{"mode":"kv","kvEvents":false,"source":"auto","because":"","models":["m"]}`, "s"},
		{actors.FactRouterApplied, "", "", `{"mode":"","kvEvents":false,"source":"auto","because":"","models":[]}`, "s"},
		{actors.FactRouterApplied, "m", "m", `{"mode":"random","kvEvents":false,"source":"model","because":"","models":["m"]}`, "m"},
	} {
		f := actors.Fact{Type: row.typ, Server: "s", Model: row.model, Models: row.models}
		if got := string(routerDetail(in, f)); got != row.detail {
			t.Errorf("%+v: detail %s, want %s", f, got, row.detail)
		}
		if got := objectOf(f); got != row.object {
			t.Errorf("%+v: object %q, want %q", f, got, row.object)
		}
	}
}

func TestFactsAreToldOnceEachTimeTheyComeToPass(t *testing.T) {
	kv := actors.Fact{Type: actors.FactRouterResolved, Server: "s", Message: "kv"}
	none := actors.Fact{Type: actors.FactRouterResolved, Server: "s", Message: "none"}
	rounds := []struct {
		name        string
		found, want []actors.Fact
	}{
		{"a first fact", []actors.Fact{kv}, []actors.Fact{kv}},
		{"the status has not come back yet", []actors.Fact{kv}, nil},
		{"the status has come back", nil, nil},
		{"back again, twice in a list", []actors.Fact{none, none}, []actors.Fact{none}},
		{"quiet", nil, nil},
		{"the first fact comes to pass again", []actors.Fact{kv}, []actors.Fact{kv}},
	}
	var told map[actors.Fact]bool
	for _, r := range rounds {
		var fresh []actors.Fact
		if fresh, told = newFacts(r.found, told); !slices.Equal(fresh, r.want) {
			t.Errorf("%s: told %v, want %v", r.name, fresh, r.want)
		}
	}
}
