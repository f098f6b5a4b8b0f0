package doctor

import "dynctl/state/kv"

// passedOn are checks of a reconciler that are told as it finds them, each once, with where
// to read on.
var passedOn = []struct{ check, finding, next string }{
	{kv.CheckReplicas, CheckStore, "docs/operations.md#a-cluster-of-three"},
	{kv.CheckKept, CheckSpecs, "docs/operations.md#upgrade"},
}

// passOn tells of what the reconcilers find: how many servers hold the buckets, and what is
// left as it is because they cannot read what was accepted of it.
func (d *Doctor) passOn(answers []kv.Checks) {
	for _, one := range passedOn {
		told := false
		for _, answer := range answers {
			for _, c := range answer.Checks {
				if c.Name == one.check && c.State != OK && !told {
					d.found(one.finding, Warn, one.next, "%s", c.Text)
					told = true
				}
			}
		}
	}
}
