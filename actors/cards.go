package actors

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"dynctl/state"
)

// nodeIDLabel is the label that Ray gives each node by itself.
const nodeIDLabel = "ray.io/node-id"

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
func Strangers(nodes []state.Node, units []state.Unit) []Stranger {
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

// chooseApart is ChooseShape, on nodes whose cards no stranger holds where that is
// possible: which card of a node a worker gets is for Ray to say.
func (p *planner) chooseApart(needs Needs, nodes []NodeRoom) (Shape, *Unfit) {
	busy := map[string]bool{}
	for _, s := range p.strangers {
		busy[s.Node] = true
	}
	if needs.GPUs == 0 || len(busy) == 0 {
		return ChooseShape(needs, nodes)
	}
	calm := slices.DeleteFunc(slices.Clone(nodes), func(n NodeRoom) bool { return busy[n.ID] })
	shape, unfit := ChooseShape(needs, calm)
	if unfit != nil {
		return ChooseShape(needs, nodes)
	}
	if shape.Selector == nil {
		shape.Selector = make([]map[string]string, len(shape.Bundles))
	}
	for i, labels := range shape.Selector {
		shape.Selector[i] = maps.Clone(labels)
		if shape.Selector[i] == nil {
			shape.Selector[i] = map[string]string{}
		}
		shape.Selector[i][nodeIDLabel] = "!in(" + strings.Join(slices.Sorted(maps.Keys(busy)), ",") + ")"
	}
	return shape, nil
}

// busyCard names who holds a card that a worker which does not serve was given, with
// why the worker ended where it did; empty: nobody.
func (p *planner) busyCard(m *modelView) string {
	for _, v := range m.units() {
		if v.Generation != m.template.Generation || v.running || v.stopping {
			continue
		}
		for _, a := range v.Actors {
			for _, s := range p.strangers {
				if s.Node != a.Node || !slices.Contains(a.GPUs, strconv.Itoa(s.Card)) {
					continue
				}
				if a.Exit != nil {
					return s.String() + "; " + exitMessage(a)
				}
				return s.String()
			}
		}
	}
	return ""
}
