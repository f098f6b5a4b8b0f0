package place

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"dynctl/actors"
	"dynctl/state"
)

// Strategies of a placement group.
const (
	StrictPack   = "STRICT_PACK"
	StrictSpread = "STRICT_SPREAD"
)

// Bundles of the infra unit. Each exists also where its service is external, so
// that a service keeps its bundle.
const (
	BundleEtcd = iota
	BundleNATS
	BundleFrontend
	infraBundles
)

// The label by which Ray tells head from worker nodes.
const (
	nodeTypeLabel  = "ray.io/node-type"
	nodeTypeWorker = "worker"
	nodeTypeHead   = "head"
)

// Room is a node and what is left of it in whole units, after what has been
// promised to other units.
type Room struct {
	state.Node
	FreeGPUs int
	FreeCPUs int
}

// Empty is the room of nodes that run nothing. A node without labels carries Ray's
// own label for its type; one with 0 CPUs is taken to have enough of them.
func Empty(nodes []state.Node) []Room {
	rooms := make([]Room, len(nodes))
	for i, node := range nodes {
		rooms[i] = Room{Node: node, FreeGPUs: node.GPUs, FreeCPUs: node.CPUs}
		n := &rooms[i]
		if n.Labels == nil {
			kind := nodeTypeWorker
			if n.Head {
				kind = nodeTypeHead
			}
			n.Labels = map[string]string{nodeTypeLabel: kind}
		}
		if n.CPUs == 0 {
			n.FreeCPUs = math.MaxInt32
		}
	}
	return rooms
}

// Shape is how a unit is laid out: one actor per bundle, the bundle's index being
// the node rank.
type Shape struct {
	Bundles  []state.BundleShape
	Strategy string
	// Selector is the label selector of each bundle; nil when there is none.
	Selector []map[string]string
	// Nodes are the ids of the nodes that were counted on, by bundle; empty when
	// the shape does not fit now. Ray may choose others of the same room.
	Nodes []string
}

// Take reduces the room of the nodes that a shape counts on. The input is left
// as it is.
func (s Shape) Take(nodes []Room) []Room {
	out := slices.Clone(nodes)
	s.TakeFrom(out)
	return out
}

// TakeFrom is [Shape.Take] in place.
func (s Shape) TakeFrom(nodes []Room) {
	for bundle, id := range s.Nodes {
		for i := range nodes {
			if nodes[i].ID == id {
				nodes[i].FreeGPUs -= s.Bundles[bundle].GPU
				nodes[i].FreeCPUs -= s.Bundles[bundle].CPU
			}
		}
	}
}

// Unfit says why a shape does not fit now. The numbers are those of the eligible nodes.
type Unfit struct {
	Reason  string // one of those of package actors
	Message string
	// Shape is what to ask Ray for if nodes may come.
	Shape     *Shape
	Needed    int // GPUs of the worker
	FreeGPUs  int
	TotalGPUs int
}

// Topology is the nodes that a worker with GPUs may run on: alive, with at least
// one whole GPU, and not the head where that is excluded. The order is kept.
func Topology(nodes []Room, excludeHead bool) []Room {
	return slices.DeleteFunc(slices.Clone(nodes), func(n Room) bool { return !hasGPUs(&n, excludeHead) })
}

func hasGPUs(n *Room, excludeHead bool) bool {
	return n.Alive && n.GPUs >= 1 && (!excludeHead || !n.Head)
}

// Worker lays out one worker against what is free, then against totals. When
// Unfit is not nil the worker cannot run now, and the Shape is empty.
func Worker(needs actors.Needs, nodes []Room) (Shape, *Unfit) {
	if needs.GPUs == 0 {
		return choosePacked(needs, 1, nodes)
	}
	if shape, ok := onOneNode(needs, nodes); ok {
		return shape, nil
	}
	eligible, unfit := eligibleNodes(needs, Topology(nodes, needs.ExcludeHeadNode))
	asked := shape(needs, 1, nil)
	unfit.Needed, unfit.Shape = needs.GPUs, &asked
	if len(Topology(nodes, false)) == 0 {
		unfit.Reason = actors.WaitRayWithoutGPUs
		unfit.Message = fmt.Sprintf("needs %s, and none of %s in Ray has a whole one", state.Counted(needs.GPUs, "GPU"), state.Counted(aliveNodes(nodes), "node"))
		return Shape{}, unfit
	}
	if unfit.Reason == actors.ReasonNoLabelledNodes {
		return Shape{}, unfit
	}
	free := func(n Room) (gpus, cpus int) { return n.FreeGPUs, n.FreeCPUs }
	if shape, ok := layOut(needs, eligible, free); ok {
		return shape, nil
	}
	freeGPUs := func(n Room) (gpus, cpus int) { return n.FreeGPUs, math.MaxInt }
	if _, ok := layOut(needs, eligible, freeGPUs); ok {
		unfit.Reason = actors.ReasonInsufficientCPUs
		unfit.Message = fmt.Sprintf("needs %s beside its GPUs on each node, and no nodes with the GPUs have as many free",
			state.Counted(needs.CPUs, "CPU"))
	}
	total := func(n Room) (gpus, cpus int) { return n.GPUs, math.MaxInt }
	shape, ok := layOut(needs, eligible, total)
	if !ok {
		unfit.Reason, unfit.Message = actors.ReasonTPDoesNotFit, doesNotFit(needs, eligible)
		return Shape{}, unfit
	}
	shape.Nodes = nil
	unfit.Shape = &shape
	return Shape{}, unfit
}

// onOneNode is the first choice of layOut, which most workers get, without a copy of all
// nodes: the fullest one that holds the worker.
func onOneNode(needs actors.Needs, nodes []Room) (Shape, bool) {
	labels := labelsOf(needs)
	best := -1
	for i := range nodes {
		n := &nodes[i]
		if !hasGPUs(n, needs.ExcludeHeadNode) || n.FreeGPUs < needs.GPUs || n.FreeCPUs < needs.CPUs || !matches(labels, n.Labels) {
			continue
		}
		if best < 0 || fuller(n, &nodes[best]) < 0 {
			best = i
		}
	}
	if best < 0 {
		return Shape{}, false
	}
	return shape(needs, 1, []string{nodes[best].ID}), true
}

// fuller orders the fullest nodes first, so that larger workers find room later.
func fuller(a, b *Room) int {
	return cmp.Or(cmp.Compare(a.FreeGPUs, b.FreeGPUs), cmp.Compare(a.ID, b.ID))
}

func aliveNodes(nodes []Room) (n int) {
	for _, r := range nodes {
		if r.Alive {
			n++
		}
	}
	return n
}

// Infra lays out the infra unit of a server: a bundle each for etcd,
// NATS and the frontend, on one node. Its results are those of [Worker].
func Infra(needs actors.Needs, nodes []Room) (Shape, *Unfit) {
	return choosePacked(needs, infraBundles, nodes)
}

// choosePacked lays out bundles without GPUs on one node.
func choosePacked(needs actors.Needs, bundles int, nodes []Room) (Shape, *Unfit) {
	shape := Shape{
		Bundles:  slices.Repeat([]state.BundleShape{{CPU: needs.CPUs}}, bundles),
		Strategy: StrictPack,
		Selector: selector(needs, bundles),
	}
	alive := slices.DeleteFunc(slices.Clone(nodes), func(n Room) bool {
		return !n.Alive || needs.ExcludeHeadNode && n.Head
	})
	eligible, unfit := eligibleNodes(needs, alive)
	unfit.Shape = &shape
	if unfit.Reason == actors.ReasonNoLabelledNodes {
		return Shape{}, unfit
	}
	want := needs.CPUs * bundles
	// The fewest GPUs first: what needs none leaves them to those that do.
	slices.SortFunc(eligible, func(a, b Room) int {
		return cmp.Or(cmp.Compare(a.GPUs, b.GPUs), cmp.Compare(a.FreeCPUs, b.FreeCPUs), cmp.Compare(a.ID, b.ID))
	})
	for _, n := range eligible {
		if n.FreeCPUs >= want {
			shape.Nodes = slices.Repeat([]string{n.ID}, bundles)
			return shape, nil
		}
	}
	unfit.Reason = actors.ReasonInsufficientCPUs
	unfit.Message = fmt.Sprintf("needs %s on one node, and no node has as many free", state.Counted(want, "CPU"))
	return Shape{}, unfit
}

// eligibleNodes is the nodes that carry the labels asked for, and the start of
// an explanation, in case they do not suffice.
func eligibleNodes(needs actors.Needs, nodes []Room) ([]Room, *Unfit) {
	labels := labelsOf(needs)
	eligible := slices.DeleteFunc(slices.Clone(nodes), func(n Room) bool {
		return !matches(labels, n.Labels)
	})
	unfit := &Unfit{Reason: actors.ReasonInsufficientGPUs}
	for _, n := range eligible {
		unfit.FreeGPUs += max(n.FreeGPUs, 0)
		unfit.TotalGPUs += n.GPUs
	}
	unfit.Message = fmt.Sprintf("needs %s, and %d of %d are free on %s", state.Counted(needs.GPUs, "GPU"),
		unfit.FreeGPUs, unfit.TotalGPUs, state.Counted(len(eligible), "eligible node"))
	if len(eligible) == 0 && len(labels) > 0 {
		unfit.Reason = actors.ReasonNoLabelledNodes
		unfit.Message = "no node that could run it carries the label" + describe(labels)
	}
	return eligible, unfit
}

// layOut finds the first shape that fits the room given: one bundle where a node
// holds the worker, else as few equal bundles on as many nodes as hold them.
func layOut(n actors.Needs, nodes []Room, room func(Room) (gpus, cpus int)) (Shape, bool) {
	most := len(nodes)
	if n.OneNode {
		most = min(most, 1)
	}
	for parts := 1; parts <= most; parts++ {
		if n.GPUs%parts != 0 {
			continue
		}
		fits := slices.DeleteFunc(slices.Clone(nodes), func(r Room) bool {
			gpus, cpus := room(r)
			return gpus < n.GPUs/parts || cpus < n.CPUs
		})
		if len(fits) < parts {
			continue
		}
		slices.SortFunc(fits, func(a, b Room) int { return fuller(&a, &b) })
		ids := make([]string, parts)
		for i := range ids {
			ids[i] = fits[i].ID
		}
		return shape(n, parts, ids), true
	}
	return Shape{}, false
}

// shape is the worker on that many equal bundles.
func shape(n actors.Needs, parts int, nodes []string) Shape {
	strategy := StrictPack
	if parts > 1 {
		strategy = StrictSpread
	}
	return Shape{
		Bundles:  slices.Repeat([]state.BundleShape{{CPU: n.CPUs, GPU: n.GPUs / parts}}, parts),
		Strategy: strategy,
		Selector: selector(n, parts),
		Nodes:    nodes,
	}
}

func doesNotFit(n actors.Needs, eligible []Room) string {
	largest := 0
	for _, r := range eligible {
		largest = max(largest, r.GPUs)
	}
	have := fmt.Sprintf("%s, the largest with %s", state.Counted(len(eligible), "eligible node"), state.Counted(largest, "GPU"))
	if len(eligible) == 0 {
		have = "no node with a GPU that it may use"
	}
	how := "nor is there an even split over several"
	if n.OneNode {
		how = "and it must fit one node"
	}
	return fmt.Sprintf("a worker of %s does not fit: there is %s, %s", state.Counted(n.GPUs, "GPU"), have, how)
}

// labelsOf is what a node must carry.
func labelsOf(n actors.Needs) map[string]string {
	labels := maps.Clone(n.NodeSelector)
	if n.ExcludeHeadNode {
		if labels == nil {
			labels = map[string]string{}
		}
		labels[nodeTypeLabel] = nodeTypeWorker
	}
	return labels
}

func selector(n actors.Needs, bundles int) []map[string]string {
	labels := labelsOf(n)
	if len(labels) == 0 {
		return nil
	}
	selectors := make([]map[string]string, bundles)
	for i := range selectors {
		selectors[i] = maps.Clone(labels)
	}
	return selectors
}

// matches follows Ray's label selectors: a value, "!value", "in(a,b)", "!in(a,b)".
func matches(selector, labels map[string]string) bool {
	for key, want := range selector {
		have, there := labels[key]
		want, negated := strings.CutPrefix(want, "!")
		values := []string{want}
		if list, ok := strings.CutPrefix(want, "in("); ok && strings.HasSuffix(list, ")") {
			values = strings.Split(strings.TrimSuffix(list, ")"), ",")
			for i := range values {
				values[i] = strings.TrimSpace(values[i])
			}
		}
		if (there && slices.Contains(values, have)) == negated {
			return false
		}
	}
	return true
}

func describe(labels map[string]string) string {
	var b strings.Builder
	for i, key := range slices.Sorted(maps.Keys(labels)) {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString(" " + key + "=" + labels[key])
	}
	return b.String()
}
