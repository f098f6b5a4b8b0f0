package ops

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"dynctl/actors"
	"dynctl/state"
)

// maxCells is the largest node whose GPUs are drawn one by one.
const maxCells = 16

// nodeCard is one Ray node with what it holds.
type nodeCard struct {
	state.Node
	// Held GPUs belong to units of ours, Foreign ones to others in Ray.
	Held, Foreign, Free int
	Units               []nodeUnit
	Cells               []cell // nil on a node with too many
}

// nodeUnit is the part of a unit that stands on one node.
type nodeUnit struct {
	Letter string
	Hue    int
	state.Unit
	GPUs   int
	GPUIDs []string // as Ray numbers them; may be empty
}

// cell is one GPU.
type cell struct {
	Letter, Label string
	Hue           int // of the unit that holds it; 0: free; -1: somebody else's
}

// unitRow is a unit of the table.
type unitRow struct {
	state.Unit
	Look     string
	Shown    string // the state, Ready where it serves
	Nodes    []string
	Attempts int
	Ports    []string
	Logs     []logLink
	Wait     *actors.Wait
	Ours     bool
}

func newCluster(in Input) ([]nodeCard, []unitRow) {
	cards := make([]nodeCard, 0, len(in.Nodes))
	byID := map[string]int{}
	for _, n := range in.Nodes {
		byID[n.ID] = len(cards)
		cards = append(cards, nodeCard{Node: n})
	}
	rows := unitRows(in)
	for _, u := range in.Units {
		for id, share := range shares(*u) {
			if i, ok := byID[id]; ok {
				cards[i].Units = append(cards[i].Units, share)
			}
		}
	}
	for i := range cards {
		cards[i].settle()
	}
	slices.SortStableFunc(cards, func(a, b nodeCard) int {
		return cmp.Or(-cmp.Compare(btoi(a.Alive), btoi(b.Alive)), -cmp.Compare(btoi(a.Head), btoi(b.Head)), cmp.Compare(a.IP, b.IP), cmp.Compare(a.ID, b.ID))
	})
	return cards, rows
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// shares is what a unit holds on each node: what its bundles reserve there, with
// the ids of the GPUs as far as its actors tell them.
func shares(u state.Unit) map[string]nodeUnit {
	out := map[string]nodeUnit{}
	nodeOf := map[int]string{}
	ids := map[int][]string{}
	for b, id := range u.PlacementGroup.Nodes {
		nodeOf[b] = id
	}
	for _, a := range u.Actors {
		if a.Node != "" {
			nodeOf[a.Bundle] = a.Node
			ids[a.Bundle] = a.GPUs
		}
	}
	for b, id := range nodeOf {
		if id == "" {
			continue
		}
		share := out[id]
		share.Unit = u
		if b < len(u.PlacementGroup.Bundles) {
			share.GPUs += u.PlacementGroup.Bundles[b].GPU
		}
		share.GPUIDs = append(share.GPUIDs, ids[b]...)
		out[id] = share
	}
	for id, share := range out {
		slices.Sort(share.GPUIDs)
		out[id] = share
	}
	return out
}

// settle gives each unit its letter and each GPU its holder.
func (n *nodeCard) settle() {
	slices.SortFunc(n.Units, func(a, b nodeUnit) int {
		return cmp.Or(-cmp.Compare(btoi(a.GPUs > 0), btoi(b.GPUs > 0)), cmp.Compare(a.Server, b.Server), cmp.Compare(a.Unit.Unit, b.Unit.Unit))
	})
	letters := 0
	for i := range n.Units {
		n.Held += n.Units[i].GPUs
		if n.Units[i].GPUs > 0 {
			n.Units[i].Letter = letter(letters)
			n.Units[i].Hue = letters%6 + 1
			letters++
		}
	}
	if n.FreeGPUs != nil {
		n.Foreign = max(n.GPUs-n.Held-int(*n.FreeGPUs), 0)
	}
	n.Free = max(n.GPUs-n.Held-n.Foreign, 0)
	if n.GPUs > 0 && n.GPUs <= maxCells {
		n.Cells = n.cells()
	}
}

// letter is A to Z, then A1, B1 and so on.
func letter(i int) string {
	s := string(rune('A' + i%26))
	if i >= 26 {
		s += fmt.Sprint(i / 26)
	}
	return s
}

// cells gives each unit the GPUs that it names, and those that it does not name
// the first ones left.
func (n *nodeCard) cells() []cell {
	out := make([]cell, n.GPUs)
	unnamed := func(u nodeUnit, want int) {
		for i := range out {
			if want > 0 && out[i].Letter == "" {
				out[i] = u.cell(i)
				want--
			}
		}
	}
	rest := map[int]int{}
	for at, u := range n.Units {
		rest[at] = u.GPUs
		for _, id := range u.GPUIDs {
			var i int
			if _, err := fmt.Sscanf(id, "%d", &i); err == nil && i >= 0 && i < n.GPUs && out[i].Letter == "" && rest[at] > 0 {
				out[i] = u.cell(i)
				rest[at]--
			}
		}
	}
	for _, at := range slices.Sorted(maps.Keys(rest)) {
		unnamed(n.Units[at], rest[at])
	}
	unnamed(nodeUnit{Letter: "·", Hue: -1}, n.Foreign)
	for i := range out {
		switch {
		case out[i].Letter == "":
			out[i].Label = fmt.Sprintf("GPU %d: free", i)
		case out[i].Hue < 0:
			out[i].Label = fmt.Sprintf("GPU %d: held by others", i)
		}
	}
	return out
}

func (u nodeUnit) cell(i int) cell {
	return cell{Letter: u.Letter, Hue: u.Hue, Label: fmt.Sprintf("GPU %d: %s of server %s", i, u.Unit.Unit, u.Server)}
}

// unitRows are the units that exist and those that wait to.
func unitRows(in Input) []unitRow {
	waits := map[state.UnitKey]*actors.Wait{}
	for i, w := range in.Waits {
		if w.Key.Unit != "" && waits[w.Key] == nil {
			waits[w.Key] = &in.Waits[i]
		}
	}
	ready := map[state.UnitKey]bool{}
	for _, s := range in.Statuses {
		for _, p := range s.Placements {
			ready[state.UnitKey{Server: s.Server, Unit: p.Unit}] = p.State == "Ready"
		}
	}
	names := map[string]string{}
	for _, n := range in.Nodes {
		names[n.ID] = n.IP
	}
	var rows []unitRow
	for _, u := range in.Units {
		r := newUnitRow(*u, names)
		r.Ours = u.StoreID == in.StoreID
		r.Logs = unitLogs(in, *u)
		if ready[u.Key()] {
			r.Shown = "Ready"
		}
		r.Look = lookOf(unitLooks, r.Shown, lookNone)
		r.Wait = waits[u.Key()]
		delete(waits, u.Key())
		rows = append(rows, r)
	}
	for key, w := range waits {
		rows = append(rows, unitRow{Unit: state.Unit{Server: key.Server, Unit: key.Unit, Model: w.Model}, Shown: "Wanted", Look: lookBusy, Wait: w, Ours: true})
	}
	slices.SortFunc(rows, func(a, b unitRow) int {
		return cmp.Or(cmp.Compare(a.Server, b.Server), cmp.Compare(a.Model, b.Model), cmp.Compare(a.Unit.Unit, b.Unit.Unit))
	})
	return rows
}

func newUnitRow(u state.Unit, names map[string]string) unitRow {
	r := unitRow{Unit: u, Shown: string(u.State)}
	seen := map[string]bool{}
	for _, a := range u.Actors {
		r.Attempts = max(r.Attempts, a.Attempt)
		if a.Node != "" && !seen[a.Node] {
			seen[a.Node] = true
			r.Nodes = append(r.Nodes, cmp.Or(names[a.Node], a.IP, a.Node))
		}
		for _, name := range slices.Sorted(maps.Keys(a.Ports)) {
			r.Ports = append(r.Ports, fmt.Sprintf("%s %d", name, a.Ports[name]))
		}
	}
	return r
}
