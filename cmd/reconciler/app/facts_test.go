package app

import (
	"slices"
	"testing"

	"dynctl/actors"
)

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
