package doctor

import (
	"slices"

	"dynctl/actors"
	"dynctl/state/kv"
)

// Disk is what the reconcilers find of the store's disk; one that finds it full
// has the say. false: none has answered, or none looks at a disk.
func Disk(answers []kv.Checks) (found kv.Check, ok bool) {
	for _, answer := range answers {
		i := slices.IndexFunc(answer.Checks, func(c kv.Check) bool { return c.Name == kv.CheckDisk && c.Text != "" })
		if i < 0 {
			continue
		}
		if x := answer.Checks[i]; !ok || x.Reason == actors.CondStoreFull || found.State == OK {
			found, ok = x, true
		}
		if found.Reason == actors.CondStoreFull && !found.Soon {
			break
		}
	}
	return found, ok
}
