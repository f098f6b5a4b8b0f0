package actors_test

import (
	"fmt"
	"reflect"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"dynctl/actors"
	"dynctl/actors/plan"
)

// both makes the plan with the old and the new planner, and panics where they differ.
func both(in actors.Input) actors.Result {
	r := plan.Plan(in)
	if d := differs(actors.Plan(in), r); d != "" {
		panic(fmt.Sprintf("the planners differ (-old +new):\n%s", d))
	}
	return r
}

func differs(old, fresh actors.Result) string {
	if reflect.DeepEqual(old, fresh) {
		return ""
	}
	return cmp.Diff(old, fresh, cmpopts.EquateEmpty())
}
