package doctor

import (
	"context"
	"slices"

	"dynctl/actors"
	"dynctl/state/kv"
)

// Disk is what the reconcilers find of the store's disk; one that finds it full
// has the say. false: none answers, or none looks at a disk.
func Disk(ctx context.Context, c *kv.Client) (found kv.Check, ok bool) {
	// Whoever cannot be asked tells nothing: what else is asked of the store says why.
	answers, _ := c.Checks(ctx)
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
