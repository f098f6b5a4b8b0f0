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

// One registration costs one, beside however many there are.
func TestOneRegistrationAllocatesForItselfAlone(t *testing.T) {
	const atMost = 12
	c := newContents(listing{})
	key := func(i int) string { return fmt.Sprintf("%scurator-1a2b3c4d/m%d/generate/%x", instancePrefix, i, i+1) }
	for i := range 2000 {
		c.apply(change{Key: key(i)})
	}
	c.registrations()
	gone, back := change{Key: key(7), Deleted: true}, change{Key: key(7)}
	n := testing.AllocsPerRun(10, func() {
		c.apply(gone)
		c.registrations()
		c.apply(back)
		c.registrations()
	})
	if n > atMost {
		t.Errorf("a worker that goes and comes back beside 2,000 allocates %.0f times, want %d at most", n, atMost)
	}
}
