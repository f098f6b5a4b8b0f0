package render

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"dynctl/actors"
	"dynctl/actors/place"
	"dynctl/state"
)

// self stands for a unit's id in the placeholders of a template that does not
// know it yet.
const self = "self"

// WorkerInput says which unit of a model is meant, and on which shape it runs.
type WorkerInput struct {
	Role                   actors.RoleTemplate
	Index                  int
	Worker                 int // numbers the disaggregated workers of a server
	Shape                  place.Shape
	RayNamespace           string
	Restart                string
	StartupTimeout         time.Duration
	TerminationGracePeriod time.Duration
	PlacementTimeout       time.Duration // 0: the group waits for nodes to come
	// NoCard leaves out the routing that a worker carries in its model card.
	NoCard bool
}

// Infra is the server's infra unit on a shape.
func Infra(t actors.ServerTemplate, rayNamespace string, shape place.Shape) actors.UnitTemplate {
	u := actors.UnitTemplate{
		Server:         t.Server,
		Unit:           actors.InfraUnit,
		Generation:     t.Generation,
		RayNamespace:   rayNamespace,
		PlacementGroup: group(shape, actors.PlacementGroupName(t.Server, t.Generation, actors.InfraUnit)),
		Actors:         slices.Clone(t.Actors),
	}
	u.Digest = unitDigest(u)
	return u
}

// Worker is one worker of a model.
func Worker(t actors.ModelTemplate, in WorkerInput) actors.UnitTemplate {
	id := t.ID(in.Role.Role, in.Index)
	u := actors.UnitTemplate{
		Server:           t.Server,
		Unit:             id.String(),
		Model:            t.Model,
		Role:             in.Role.Role,
		Replica:          in.Index,
		Worker:           in.Worker,
		Generation:       t.Generation,
		Restart:          in.Restart,
		RayNamespace:     in.RayNamespace,
		PlacementGroup:   group(in.Shape, actors.PlacementGroupName(t.Server, t.Generation, id.String())),
		PlacementTimeout: in.PlacementTimeout.Seconds(),
	}
	for rank := range Ranks(&in.Role, len(in.Shape.Bundles)) {
		u.Actors = append(u.Actors, worker(t, in, id, rank))
	}
	u.Digest = unitDigest(u)
	return u
}

// group is the placement group of a shape.
func group(s place.Shape, name string) state.PlacementGroup {
	return state.PlacementGroup{Name: name, Strategy: s.Strategy, Bundles: s.Bundles, Selector: s.Selector}
}

// Ranks is the number of actors of a worker of a role in so many bundles: none on the shape
// of a unit whose group is not known yet.
func Ranks(role *actors.RoleTemplate, bundles int) int {
	if role.RankFlags == ranksRank0 {
		return min(bundles, 1)
	}
	return bundles
}

// worker is the actor of one rank.
func worker(t actors.ModelTemplate, in WorkerInput, id actors.UnitID, rank int) actors.ActorTemplate {
	label := actors.WorkerLabel(id, rank, in.Role.Ranked || len(in.Shape.Bundles) > 1)
	bind := binding(id.String(), rank)
	a := actors.ActorTemplate{
		Name:                   actors.ActorName(t.Server, t.Generation, label),
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
	a.Digest = actorDigest(a)
	return a
}

// argv is the command line of a rank, its rank flags in place.
func (in WorkerInput) argv(rank int) []actors.Text {
	head := in.Role.Head
	if rank > 0 && len(in.Role.Headless) > 0 {
		head = in.Role.Headless
	}
	if in.NoCard {
		head = withoutCard(head)
	}
	return slices.Concat(head, in.rankFlags(rank), in.Role.Tail)
}

func (in WorkerInput) rankFlags(rank int) []actors.Text {
	nodes := len(in.Shape.Bundles)
	if nodes < 2 {
		return nil
	}
	flags := lits("--nnodes", strconv.Itoa(nodes), "--node-rank", strconv.Itoa(rank))
	switch in.Role.RankFlags {
	case ranksVLLM:
		return append(flags, actors.Lit("--master-addr"), actors.Exp(ipOf(self, 0)), actors.Lit("--master-port"), actors.Exp(portOf(self, actors.PortMaster)))
	case ranksSGLang:
		return append(flags, actors.Lit("--dist-init-addr"), actors.Exp(ipOf(self, 0)+":"+portOf(self, actors.PortMaster)))
	}
	return nil
}

// maxSystemPort: Dynamo reads DYN_SYSTEM_PORT as a 16-bit signed number and dies above.
const maxSystemPort = 1<<15 - 1

// ports are those that a rank listens on: rank 0 on all of the role's, the others
// on a system port of their own.
func (in WorkerInput) ports(rank int) []actors.Port {
	var ports []actors.Port
	for _, r := range in.Role.Ports {
		p := actors.Port{Name: r.Name, Seed: r.Seed, Count: r.Count}
		switch {
		case rank > 0 && r.Name != actors.PortSystem, r.Name == actors.PortMaster && len(in.Shape.Bundles) < 2:
			continue
		case r.Plus == plusReplica:
			p.Seed += in.Index
		case r.Plus == plusWorker:
			p.Seed += in.Worker
		}
		if r.Name == actors.PortSystem {
			p.Max = maxSystemPort
		}
		p.Name = portOfRank(r.Name, rank)
		ports = append(ports, p)
	}
	return ports
}

// workerHealth is asked of rank 0 alone: it is the one that serves.
func workerHealth(rank int) actors.Health {
	if rank > 0 {
		return actors.Health{Kind: "none"}
	}
	return actors.Health{Kind: "http", Port: actors.PortSystem, Path: "/health", Lease: true, Every: 2, Failures: 3}
}

// portOfRank tells the system ports of a unit's ranks apart.
func portOfRank(name string, rank int) string {
	if rank == 0 || name != actors.PortSystem {
		return name
	}
	return name + "-" + strconv.Itoa(rank)
}

// binding puts a unit's id and a rank's own system port into placeholders.
func binding(unit string, rank int) func(actors.Text) actors.Text {
	replace := strings.NewReplacer(
		portOf(self, actors.PortSystem), portOf(unit, portOfRank(actors.PortSystem, rank)),
		"{port:"+self+"/", "{port:"+unit+"/",
		"{ip:"+self+"/", "{ip:"+unit+"/",
	)
	return func(t actors.Text) actors.Text {
		if t.Expand {
			t.S = replace.Replace(t.S)
		}
		return t
	}
}

func portOf(unit, name string) string { return "{port:" + unit + "/" + name + "}" }

func ipOf(unit string, bundle int) string { return "{ip:" + unit + "/" + strconv.Itoa(bundle) + "}" }

// actorDigest covers what is executed and where, and leaves out how it is watched
// over: other timeouts restart nothing.
func actorDigest(a actors.ActorTemplate) string {
	a.Digest, a.Health, a.StartupTimeout, a.TerminationGracePeriod = "", actors.Health{}, 0, 0
	return digestOf(a)
}

// unitDigest covers all of the unit but how long its group may take.
func unitDigest(u actors.UnitTemplate) string {
	u.Digest, u.PlacementTimeout = "", 0
	return digestOf(u)
}
