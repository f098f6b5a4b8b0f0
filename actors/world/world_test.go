package world

import (
	"testing"

	"dynctl/actors"
	"dynctl/actors/place"
	"dynctl/state"
)

func start(attempt int) actors.Start {
	return actors.Start{
		Template: actors.UnitTemplate{Server: "s", Unit: "u", PlacementGroup: state.PlacementGroup{Name: "pg", Bundles: []state.BundleShape{{CPU: 1, GPU: 2}}},
			Actors: []actors.ActorTemplate{{Name: "a", Digest: "new", Ports: []actors.Port{{Name: "system", Seed: 20300}}}, {Name: "b"}}},
		Attempts: map[string]actors.Attempt{"a": {Number: attempt, Failures: 1}},
	}
}

func TestAStartOfANewUnit(t *testing.T) {
	fresh := Started(nil, start(1), "store")
	if fresh.PlacementGroup.State != state.GroupPending || fresh.StoreID != "store" || fresh.Actors[0].State != state.UnitWaiting || fresh.Actors[1].State != state.UnitPending {
		t.Errorf("%+v", fresh)
	}
}

func TestAStartKeepsAGroupThatStands(t *testing.T) {
	was := Placed(Started(nil, start(1), "store"), []string{"n"}, func(string) string { return "ip" })
	was.Actors[0].Lease, was.Actors[0].State, was.Actors[1].State = 7, state.UnitRunning, state.UnitRunning
	again := Started(&was, start(2), "store")
	if a := again.Actors[0]; a.Attempt != 2 || a.Lease != 0 || a.Node != "n" || a.State != state.UnitWaiting || a.Ports["system"] != 20300 {
		t.Errorf("what is executed: %+v", a)
	}
	if b := again.Actors[1]; b.State != state.UnitRunning || again.PlacementGroup.State != state.GroupCreated {
		t.Errorf("what is not named: %+v in a group that is %s", b, again.PlacementGroup.State)
	}
	if was.Actors[0].Lease != 7 || was.Actors[0].Attempt != 1 {
		t.Errorf("the unit that was is changed: %+v", was.Actors[0])
	}
	if same := Started(&was, start(1), "store"); same.Actors[0].Lease != 7 {
		t.Errorf("an attempt that has been made is made again: %+v", same.Actors[0])
	}
	was.PlacementGroup.State = "REMOVED"
	if other := Started(&was, start(2), "store"); other.PlacementGroup.State != state.GroupPending || other.Actors[1].State != state.UnitPending {
		t.Errorf("a group that is gone is kept: %+v", other)
	}
}

func TestPlaceIsRays(t *testing.T) {
	rooms := Rooms([]state.Node{{ID: "a", GPUs: 4, CPUs: 8, Alive: true}, {ID: "b", GPUs: 4, CPUs: 8, Alive: true}, {ID: "c", GPUs: 8, CPUs: 8}},
		[]*state.Unit{{PlacementGroup: state.PlacementGroup{Bundles: []state.BundleShape{{CPU: 1, GPU: 2}}, Nodes: []string{"b"}}}})
	for _, tt := range []struct {
		name, strategy string
		bundles        []state.BundleShape
		want           []string
	}{
		{"the fullest first", place.StrictPack, []state.BundleShape{{CPU: 1, GPU: 1}}, []string{"b"}},
		{"all on one node", place.StrictPack, []state.BundleShape{{GPU: 1}, {GPU: 1}}, []string{"b", "b"}},
		{"all on one node that holds them", place.StrictPack, []state.BundleShape{{GPU: 2}, {GPU: 2}}, []string{"a", "a"}},
		{"each on another", place.StrictSpread, []state.BundleShape{{GPU: 2}, {GPU: 2}}, []string{"b", "a"}},
		{"CPUs count", place.StrictPack, []state.BundleShape{{CPU: 8, GPU: 1}}, []string{"a"}},
		{"a dead node has no room", place.StrictPack, []state.BundleShape{{GPU: 8}}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := Place(state.PlacementGroup{Strategy: tt.strategy, Bundles: tt.bundles}, rooms)
			if len(got) != len(tt.want) {
				t.Fatalf("got %v, want %v", got, tt.want)
			}
			for i := range got {
				if got[i] != tt.want[i] {
					t.Errorf("got %v, want %v", got, tt.want)
				}
			}
		})
	}
}

// A disaggregated generation is ready with both of its roles, and not behind a gate.
func TestListedNeedsEveryRole(t *testing.T) {
	models := []*actors.DesiredModel{{Server: "s", Name: "m", Accepted: 1, Spec: state.ModelSpec{Model: "m"}}}
	prefill := Instance("ns", "m", state.Unit{Generation: "g", Role: state.RolePrefill}, 1)
	decode := Instance("ns", "m", state.Unit{Generation: "g", Role: state.RoleDecode}, 2)
	for _, tt := range []struct {
		name      string
		instances []state.Instance
		gated     bool
		want      bool
	}{
		{"prefill alone", []state.Instance{prefill}, false, false},
		{"both", []state.Instance{prefill, decode}, false, true},
		{"both, behind a gate", []state.Instance{prefill, decode}, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			view := Listed("s", models, tt.instances, func(string) bool { return tt.gated })
			if got := view.Models["m"]; got.Ready != tt.want || got.Listed != tt.want || got.Namespaces["ns-g"].Workers[state.RolePrefill] != 1 {
				t.Errorf("got %+v", got)
			}
		})
	}
}
