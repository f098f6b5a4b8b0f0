package registry

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"dynctl/state"
)

// A list of instances that was patched is the one that is made from all, the lists before
// it stay as they were, and one to which nothing has happened is the same list.
func TestInstancesArePatched(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 5))
		c := newContents(listing{})
		var before, kept []state.Instance
		for range 300 {
			for range 1 + random.IntN(3) {
				lease := fmt.Sprintf("%x", 1+random.IntN(30))
				prefix := []string{instancePrefix, cardPrefix}[random.IntN(2)]
				c.apply(change{Key: prefix + "curator-1a2b3c4d/m" + lease + "/generate/" + lease, Deleted: random.IntN(3) == 0})
			}
			got := c.registrations().Instances
			whole := newContents(listing{})
			whole.instances, whole.cards = c.instances, c.cards
			for k := range c.instances {
				whole.touched[k] = true
			}
			if want := whole.registrations().Instances; !slices.Equal(want, got) {
				t.Fatalf("seed %d: patched %v, of all %v", seed, got, want)
			}
			if !slices.Equal(before, kept) {
				t.Fatalf("seed %d: a list that was handed out has changed", seed)
			}
			if again := c.registrations().Instances; len(got) > 0 && &again[0] != &got[0] {
				t.Fatalf("seed %d: nothing has happened, and the list is another", seed)
			}
			before, kept = got, slices.Clone(got)
		}
	}
}
