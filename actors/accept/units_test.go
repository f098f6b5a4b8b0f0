package accept

import (
	"slices"
	"testing"

	"dynctl/state"
)

// A unit that is said to be of another model than before moves both.
func TestAUnitOfAnotherModelMovesBoth(t *testing.T) {
	was := &state.Unit{Server: "default", Unit: "0badcafe_a_DP0", Model: "a"}
	now := &state.Unit{Server: "default", Unit: "0badcafe_a_DP0", Model: "b"}
	a, b := state.ModelKey("default", "a"), state.ModelKey("default", "b")
	var x unitIndex
	x.follow([]*state.Unit{was})
	if moved := x.follow([]*state.Unit{now}); !slices.Equal(moved, []state.Key{a, b}) {
		t.Errorf("moved: %v", moved)
	}
	if len(x.of[a]) != 0 || len(x.of[b]) != 1 || x.on["default"] != 1 {
		t.Errorf("index: %v, %v", x.of, x.on)
	}
}
