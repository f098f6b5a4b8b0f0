package place

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"dynctl/state"
)

// strangerMemory is how much memory of a card makes its holder count, in bytes: a
// context that computes nothing has some hundred MiB.
const strangerMemory = 512 << 20

// Stranger is a process on a GPU card that no unit of ours has started.
type Stranger struct {
	Node    string // Ray node id
	Card    int    // the driver's index
	Process state.CardProcess
}

func (s Stranger) String() string {
	name := s.Process.Command
	if name == "" {
		name = "in another container"
	}
	return fmt.Sprintf("card %d of node %s: %.1f GiB held by pid %d (%s), which dynctl did not start",
		s.Card, s.Node, float64(s.Process.Memory)/(1<<30), s.Process.PID, name)
}

// Strangers lists who holds memory of the nodes' cards beside our units, by node and
// card. A process that its node does not know (it is in another container) counts only
// on a card that no unit of ours was given: else it may be ours.
func Strangers(nodes []state.Node, units []*state.Unit) []Stranger {
	if !slices.ContainsFunc(nodes, func(n state.Node) bool { return len(n.Cards) > 0 }) {
		return nil
	}
	own := map[string]map[int]bool{}      // process groups by address: several nodes may be one machine
	given := map[string]map[string]bool{} // cards by node
	for _, u := range units {
		for _, a := range u.Actors {
			put(own, a.IP, a.ChildPID)
			for _, id := range a.GPUs {
				put(given, a.Node, id)
			}
		}
	}
	var out []Stranger
	for _, n := range nodes {
		for _, c := range n.Cards {
			for _, p := range c.Processes {
				hidden := p.Group == 0
				if p.Ours || p.Memory < strangerMemory || !n.Alive || own[n.IP][p.Group] || hidden && given[n.ID][strconv.Itoa(c.Index)] {
					continue
				}
				out = append(out, Stranger{n.ID, c.Index, p})
			}
		}
	}
	slices.SortFunc(out, func(a, b Stranger) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Card, b.Card), cmp.Compare(a.Process.PID, b.Process.PID))
	})
	return out
}

func put[K comparable](sets map[string]map[K]bool, name string, key K) {
	if sets[name] == nil {
		sets[name] = map[K]bool{}
	}
	sets[name][key] = true
}
