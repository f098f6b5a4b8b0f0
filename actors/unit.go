package actors

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"dynctl/state"
)

// self stands for a unit's id in the placeholders of a template that does not
// know it yet.
const self = "self"

// UnitInput says which unit of a model is meant, and on which shape it runs.
type UnitInput struct {
	Role                   RoleTemplate
	Index                  int
	Worker                 int // numbers the disaggregated workers of a server
	Shape                  Shape
	RayNamespace           string
	Restart                string
	StartupTimeout         time.Duration
	TerminationGracePeriod time.Duration
	PlacementTimeout       time.Duration // 0: the group waits for nodes to come
	// NoCard leaves out the routing that a worker carries in its model card.
	NoCard bool
}

// Unit is the server's infra unit on a shape.
func (t ServerTemplate) Unit(rayNamespace string, shape Shape) UnitTemplate {
	u := UnitTemplate{
		Server:         t.Server,
		Unit:           InfraUnit,
		Generation:     t.Generation,
		RayNamespace:   rayNamespace,
		PlacementGroup: shape.group(PlacementGroupName(t.Server, t.Generation, InfraUnit)),
		Actors:         slices.Clone(t.Actors),
	}
	u.Digest = u.digest()
	return u
}

// Unit is one worker of a model.
func (t ModelTemplate) Unit(in UnitInput) UnitTemplate {
	id := t.unitID(in.Role.Role, in.Index)
	u := UnitTemplate{
		Server:           t.Server,
		Unit:             id.String(),
		Model:            t.Model,
		Role:             in.Role.Role,
		Replica:          in.Index,
		Worker:           in.Worker,
		Generation:       t.Generation,
		Restart:          in.Restart,
		RayNamespace:     in.RayNamespace,
		PlacementGroup:   in.Shape.group(PlacementGroupName(t.Server, t.Generation, id.String())),
		PlacementTimeout: in.PlacementTimeout.Seconds(),
	}
	for rank := range in.ranks() {
		u.Actors = append(u.Actors, t.worker(in, id, rank))
	}
	u.Digest = u.digest()
	return u
}

// group is the placement group of a shape.
func (s Shape) group(name string) state.PlacementGroup {
	return state.PlacementGroup{Name: name, Strategy: s.Strategy, Bundles: s.Bundles, Selector: s.Selector}
}

// ranks is the number of actors: none on the shape of a unit whose group is not
// known yet.
func (in UnitInput) ranks() int {
	if in.Role.RankFlags == RanksRank0 {
		return min(len(in.Shape.Bundles), 1)
	}
	return len(in.Shape.Bundles)
}

// worker is the actor of one rank.
func (t ModelTemplate) worker(in UnitInput, id UnitID, rank int) ActorTemplate {
	label := WorkerLabel(id, rank, in.Role.Ranked || len(in.Shape.Bundles) > 1)
	bind := binding(id.String(), rank)
	a := ActorTemplate{
		Name:                   ActorName(t.Server, t.Generation, label),
		Label:                  label,
		Bundle:                 rank,
		GPUs:                   in.Shape.Bundles[rank].GPU,
		CPUs:                   in.Shape.Bundles[rank].CPU,
		Needs:                  in.Role.InfraActors,
		RuntimeEnv:             in.Role.RuntimeEnv,
		Ports:                  in.ports(rank),
		Health:                 workerHealth(rank),
		StartupTimeout:         in.StartupTimeout.Seconds(),
		TerminationGracePeriod: in.TerminationGracePeriod.Seconds(),
	}
	for _, w := range in.argv(rank) {
		a.Argv = append(a.Argv, bind(w))
	}
	for _, v := range in.Role.Env {
		v.Value = bind(v.Value)
		a.Env = append(a.Env, v)
	}
	a.Digest = a.digest()
	return a
}

// argv is the command line of a rank, its rank flags in place.
func (in UnitInput) argv(rank int) []Text {
	head := in.Role.Head
	if rank > 0 && len(in.Role.Headless) > 0 {
		head = in.Role.Headless
	}
	if in.NoCard {
		head = withoutCard(head)
	}
	return slices.Concat(head, in.rankFlags(rank), in.Role.Tail)
}

func (in UnitInput) rankFlags(rank int) []Text {
	nodes := len(in.Shape.Bundles)
	if nodes < 2 {
		return nil
	}
	flags := lits("--nnodes", strconv.Itoa(nodes), "--node-rank", strconv.Itoa(rank))
	switch in.Role.RankFlags {
	case RanksVLLM:
		return append(flags, Lit("--master-addr"), Exp(ipOf(self, 0)), Lit("--master-port"), Exp(portOf(self, PortMaster)))
	case RanksSGLang:
		return append(flags, Lit("--dist-init-addr"), Exp(ipOf(self, 0)+":"+portOf(self, PortMaster)))
	}
	return nil
}

// maxSystemPort: Dynamo reads DYN_SYSTEM_PORT as a 16-bit signed number and dies above.
const maxSystemPort = 1<<15 - 1

// ports are those that a rank listens on: rank 0 on all of the role's, the others
// on a system port of their own.
func (in UnitInput) ports(rank int) []Port {
	var ports []Port
	for _, r := range in.Role.Ports {
		p := Port{Name: r.Name, Seed: r.Seed, Count: r.Count}
		switch {
		case rank > 0 && r.Name != PortSystem, r.Name == PortMaster && len(in.Shape.Bundles) < 2:
			continue
		case r.Plus == plusReplica:
			p.Seed += in.Index
		case r.Plus == plusWorker:
			p.Seed += in.Worker
		}
		if r.Name == PortSystem {
			p.Max = maxSystemPort
		}
		p.Name = portOfRank(r.Name, rank)
		ports = append(ports, p)
	}
	return ports
}

// workerHealth is asked of rank 0 alone: it is the one that serves.
func workerHealth(rank int) Health {
	if rank > 0 {
		return Health{Kind: "none"}
	}
	return Health{Kind: "http", Port: PortSystem, Path: "/health", Lease: true, Every: 2, Failures: 3}
}

// portOfRank tells the system ports of a unit's ranks apart.
func portOfRank(name string, rank int) string {
	if rank == 0 || name != PortSystem {
		return name
	}
	return name + "-" + strconv.Itoa(rank)
}

// binding puts a unit's id and a rank's own system port into placeholders.
func binding(unit string, rank int) func(Text) Text {
	replace := strings.NewReplacer(
		portOf(self, PortSystem), portOf(unit, portOfRank(PortSystem, rank)),
		"{port:"+self+"/", "{port:"+unit+"/",
		"{ip:"+self+"/", "{ip:"+unit+"/",
	)
	return func(t Text) Text {
		if t.Expand {
			t.S = replace.Replace(t.S)
		}
		return t
	}
}

func portOf(unit, name string) string { return "{port:" + unit + "/" + name + "}" }

func ipOf(unit string, bundle int) string { return "{ip:" + unit + "/" + strconv.Itoa(bundle) + "}" }

// digest covers what is executed and where, and leaves out how it is watched
// over: other timeouts execute nothing anew.
func (a ActorTemplate) digest() string {
	a.Digest, a.Health, a.StartupTimeout, a.TerminationGracePeriod = "", Health{}, 0, 0
	return digestOf(a)
}

// digest covers all of the unit but how long its group may take.
func (u UnitTemplate) digest() string {
	u.Digest, u.PlacementTimeout = "", 0
	return digestOf(u)
}
