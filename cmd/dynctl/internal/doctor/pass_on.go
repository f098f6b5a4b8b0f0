package doctor

import "dynctl/state/kv"

// passedOn are checks of a reconciler that are told as it finds them, each once, with where
// to read on.
var passedOn = []struct {
	check, finding, next string
	always               bool // also where all is well
}{
	{kv.CheckReplicas, CheckStore, "docs/operations.md#a-cluster-of-three", false},
	{kv.CheckKept, CheckSpecs, "docs/operations.md#upgrade", false},
	{kv.CheckWarm, CheckRay, "docs/operations.md#warm-worker-processes", true},
}

// passOn tells of what the reconcilers find: how many servers hold the buckets, what is left
// as it is because they cannot read what was accepted of it, and the worker processes that
// are kept ready.
func (d *Doctor) passOn(answers []kv.Checks) {
	for _, one := range passedOn {
		switch c := foundBy(answers, one.check); {
		case c.Text == "":
		case c.State != OK:
			d.found(one.finding, Warn, one.next, "%s", c.Text)
		case one.always:
			d.found(one.finding, OK, "", "%s", c.Text)
		}
	}
}

// foundBy is what one of several reconcilers finds of a check: what is wrong, if any finds
// that; empty if none tells of it.
func foundBy(answers []kv.Checks, name string) (found kv.Check) {
	for _, answer := range answers {
		for _, c := range answer.Checks {
			if c.Name == name && c.Text != "" && (found.Text == "" || c.State != OK && found.State == OK) {
				found = c
			}
		}
	}
	return found
}
