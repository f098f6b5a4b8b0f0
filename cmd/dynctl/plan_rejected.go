package main

import (
	"dynctl/actors"
	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/state"
)

// rejectedBy is what the reconciler would reject of the documents though their own rules
// hold, as where a program on the nodes does not know an argument; nil: nothing.
func rejectedBy(desired actors.Desired, docs []state.Doc) error {
	why := map[state.Key]*actors.Rejection{}
	for _, s := range desired.Servers {
		why[state.ServerKey(s.Name)] = s.Rejected
	}
	for _, m := range desired.Models {
		why[state.ModelKey(m.Server, m.Name)] = m.Rejected
	}
	var errs []error
	for _, doc := range docs {
		if r := why[doc.Key()]; r != nil {
			errs = append(errs, doc.Place(&state.Invalid{Reason: r.Reason, Message: r.Message}))
		}
	}
	if err := state.JoinFaults(errs...); err != nil {
		return exit.Usagef("%w", err)
	}
	return nil
}
