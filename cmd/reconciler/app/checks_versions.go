package app

import (
	"fmt"

	"dynctl/state"
)

// checkKept names what is left as it is because its status keeps an accepted document that
// this version cannot read.
func checkKept(_ *App, s *snapshot) check {
	if s == nil {
		return check{State: checkOK}
	}
	var names []string
	note := func(st *state.Status, recovering bool) {
		if recovering && st != nil && len(st.AcceptedSpec) > 0 {
			names = append(names, st.Key)
		}
	}
	for _, x := range s.input.Desired.Servers {
		note(x.Status, x.Recovering)
	}
	for _, x := range s.input.Desired.Models {
		note(x.Status, x.Recovering)
	}
	if len(names) == 0 {
		return check{State: checkOK}
	}
	return check{State: checkDegraded, Text: fmt.Sprintf(
		"%d are left as they are, neither healed nor changed: another version has accepted them, and this one does not read what it accepted: %s; "+
			"run the version that did, or set them again in one that this reads (%s)", len(names), someOf(names, ", "), state.APIVersion)}
}
