package doctor

import (
	"fmt"
	"slices"
	"time"

	"dynctl/actors"
	placement "dynctl/actors/place"
	"dynctl/cmd/dynctl/internal/prose"
	"dynctl/cmd/internal/verdict"
	"dynctl/cmd/internal/version"
	"dynctl/state"
)

// versions compares this program with the reconciler and the agent, and what the
// agent found with what the tests run.
func (d *Doctor) versions() {
	own := version.Get().Version
	const update = "use programs of one release; a reconciler that is updated restarts no unit"
	switch {
	case d.lease == nil:
		d.found(CheckVersions, OK, "", "dynctl %s; there is no reconciler to compare with", own)
	case d.lease.Version == "":
		d.found(CheckVersions, Warn, update, "dynctl is %s, and the reconciler is too old to tell", own)
	case d.lease.Version != own:
		d.found(CheckVersions, Warn, update, "dynctl is %s, the reconciler %s", own, d.lease.Version)
	default:
		d.found(CheckVersions, OK, "", "dynctl and the reconciler are %s", own)
	}
	if d.agent == nil {
		return
	}
	if v := d.agent.Version; v != AgentVersion {
		d.found(CheckVersions, Warn, "the reconciler submits its own agent: see that the one which leads is of the release of dynctl",
			"the agent is of version %s; the one of this release is %s", prose.OrDash(v), AgentVersion)
	}
	if parts := untested(*d.agent); len(parts) > 0 {
		d.found(CheckVersions, Warn, "use the tested versions; others may do, but nothing has shown it",
			"%s", prose.List(parts))
	} else if list := VersionList(d.agent.Versions); list != "" {
		d.found(CheckVersions, OK, "", "%s: as tested", list)
	}
	if parts := unreported(*d.agent); len(parts) > 0 {
		next := "install it in the Python of every Ray node, or name it in the spec's runtimeEnv"
		if len(d.agent.Versions) == 0 {
			next = "an agent of this release tells; it is submitted by itself when the reconciler is of this release"
		}
		d.found(CheckVersions, Warn, next, "the agent tells no version of %s", prose.List(parts))
	}
}

// binaries are the programs that the infra unit executes on a node.
func (d *Doctor) binaries() {
	if d.agent == nil {
		return
	}
	const next = "put it on PATH on the Ray nodes, or name its directory with the reconciler's --bin-dir"
	var have, lack, carried []string
	for _, name := range []string{"etcd", "nats-server"} {
		is, given := d.agent.Binaries[name], d.agent.Programs
		switch {
		case is != "":
			have = append(have, name+" "+is)
		case given != nil && given.Directory != "":
			carried = append(carried, name+" "+given.Directory+"/"+name)
		default:
			lack = append(lack, name)
		}
	}
	running := slices.ContainsFunc(d.units, func(u *state.Unit) bool { return u.Unit == actors.InfraUnit && u.State == state.UnitRunning })
	switch {
	case d.agent.Binaries == nil:
		d.found(CheckBinaries, Warn, "see `dynctl status server/NAME`: it says whether etcd and NATS start", "the agent does not tell whether etcd and nats-server are there")
	case len(lack) > 0 && d.agent.Programs != nil:
		d.found(CheckBinaries, OK, "", "%s not found on the agent's node %s: the reconciler's own are brought to it when a server starts there", prose.List(lack), d.agent.NodeIP)
	case len(lack) > 0 && running: // on another node, then
		d.found(CheckBinaries, Warn, next, "%s not found on the agent's node %s", prose.List(lack), d.agent.NodeIP)
	case len(lack) > 0:
		d.found(CheckBinaries, Fail, next, "%s not found on the agent's node %s, so no server can start there", prose.List(lack), d.agent.NodeIP)
	}
	if len(have) > 0 {
		d.found(CheckBinaries, OK, "", "%s", prose.List(have))
	}
	if len(carried) > 0 {
		d.found(CheckBinaries, OK, "", "%s, brought there by the reconciler", prose.List(carried))
	}
}

func (d *Doctor) ray() {
	if d.agent == nil {
		return
	}
	alive, dead := 0, []string{}
	for _, n := range d.nodes {
		if n.Alive {
			alive++
		} else {
			dead = append(dead, prose.ShortID(n.ID))
		}
	}
	switch {
	case alive == 0:
		d.found(CheckRay, Fail, "start Ray, or point the reconciler at it (--ray-address)", "no Ray node is alive")
		return
	case len(dead) > 0:
		d.found(CheckRay, Warn, "start Ray on it again, if it is not gone for good", "%s not alive: %s", state.Counted(len(dead), "node"), prose.List(dead))
	}
	d.found(CheckRay, OK, "", "%s alive", state.Counted(alive, "node"))
	if alive > 1 {
		d.nodeHealth()
	}
}

// noticedLate is how long a node may be silent before Ray takes it for dead without a
// warning: what ran on it serves nobody till then.
const noticedLate = 30 * time.Second

// nodeHealth says what the death of a node costs: until Ray tells of it nothing is placed
// elsewhere.
func (d *Doctor) nodeHealth() {
	h := d.agent.NodeHealth
	if h == nil || !h.Known() {
		d.found(CheckRay, OK, "", "how soon Ray notices a dead node is not known: the agent does not see its GCS; "+
			"by itself Ray takes 15s, and 1m5s for one that is silent")
		return
	}
	result := OK
	if h.Silent() > noticedLate {
		result = Warn
	}
	d.found(CheckRay, result, "set RAY_health_check_* where the head of Ray is started; docs/healing.md has the values, and what they cost",
		"units of a dead node come back elsewhere once Ray notices: %s after it was killed, %s after it went silent", h.Killed(), h.Silent())
}

// gpus says what there is, and what waits for more.
func (d *Doctor) gpus() {
	total, free, known, without, nodes := 0, 0.0, true, []string{}, 0
	for _, n := range d.nodes {
		if !n.Alive {
			continue
		}
		nodes++
		total += n.GPUs
		if n.GPUs == 0 {
			without = append(without, prose.ShortID(n.ID))
		}
		if n.FreeGPUs == nil {
			known = false
		} else {
			free += *n.FreeGPUs
		}
	}
	if nodes == 0 {
		return
	}
	text := fmt.Sprintf("%s on %s", state.Counted(total, "GPU"), state.Counted(nodes-len(without), "node"))
	if known {
		text += fmt.Sprintf(", %g free", free)
	}
	if len(without) > 0 {
		text += "; none on " + prose.List(without)
	}
	if total == 0 {
		d.found(CheckGPUs, Warn, "add GPU nodes; only the mocker runs without", "no GPU on %s", state.Counted(nodes, "node"))
	} else {
		d.found(CheckGPUs, OK, "", "%s", text)
	}
	d.cards()
	d.caches()
	waits := false
	for _, o := range d.models {
		if o.Status == nil {
			continue
		}
		if c, ok := o.Status.Condition(state.CondScheduled); ok && c.Status == state.StatusFalse {
			waits = true
			d.found(CheckGPUs, Warn, d.Remedies[c.Reason], "%s waits: %s: %s", verdict.Ref(o.Status), c.Reason, prose.FirstLine(c.Message))
		}
	}
	if waits {
		d.takenByOthers()
	}
}

// takenByOthers names the nodes on which Ray counts GPUs as taken that no unit holds. It
// matters where something waits: other Ray programs may use the cluster as they like.
func (d *Doctor) takenByOthers() {
	for _, n := range d.nodes {
		if !n.Alive || n.FreeGPUs == nil {
			continue
		}
		if others := float64(n.GPUs) - *n.FreeGPUs - float64(heldOn(n.ID, d.units)); others >= 1 {
			d.found(CheckGPUs, Warn, "see who holds them, and restart Ray on the node if nobody does: docs/troubleshooting.md#gpus-that-nobody-holds",
				"%g of %s of node %s are taken, and not by a unit", others, state.Counted(n.GPUs, "GPU"), prose.ShortID(n.ID))
		}
	}
}

// heldOn counts the GPUs of a node that the groups of units reserve.
func heldOn(node string, units []*state.Unit) (sum int) {
	for _, u := range units {
		for i, on := range u.PlacementGroup.Nodes {
			if on == node && i < len(u.PlacementGroup.Bundles) {
				sum += u.PlacementGroup.Bundles[i].GPU
			}
		}
	}
	return sum
}

// cards says what the drivers tell of the cards: those that are lost, and those of which
// somebody else holds memory.
func (d *Doctor) cards() {
	for _, n := range d.nodes {
		if !n.Alive || n.Cards == nil {
			continue
		}
		if n.GPUs > len(n.Cards) {
			d.found(CheckGPUs, Fail, "look at nvidia-smi and the kernel's log on the node; drain it, or restart Ray there without the card",
				"Ray counts %s on node %s, and the driver has %d", state.Counted(n.GPUs, "GPU"), prose.ShortID(n.ID), len(n.Cards))
		}
		for _, c := range n.Cards {
			if c.Error != "" {
				d.found(CheckGPUs, Fail, "look at nvidia-smi and the kernel's log on the node; restart Ray there without the card",
					"card %d of node %s gives no answer: %s", c.Index, prose.ShortID(n.ID), c.Error)
			}
		}
	}
	for _, s := range placement.Strangers(d.nodes, d.units) {
		d.found(CheckGPUs, Warn, d.Remedies[actors.WaitGPUBusy], "%s", s)
	}
}

// muchCompiled is more than several releases of an engine and kinds of card need.
const muchCompiled = 50 << 30

// caches says how much the nodes keep of what engines compiled.
func (d *Doctor) caches() {
	for _, n := range d.nodes {
		if !n.Alive || n.Caches == nil {
			continue
		}
		result, next := OK, ""
		if n.Caches.Bytes > muchCompiled {
			result, next = Warn, "parts that nothing uses for 30 days go by themselves; others may be removed by hand while no worker of theirs runs"
		}
		d.found(CheckGPUs, result, next, "node %s keeps %.1f GiB of compiled code in %s (%s)",
			prose.ShortID(n.ID), float64(n.Caches.Bytes)/(1<<30), n.Caches.Directory, state.Counted(n.Caches.Parts, "part"))
	}
}

// ports checks the ports that were promised: those of the frontends.
func (d *Doctor) ports() {
	promised := map[int]string{}
	var held []string
	for _, o := range d.servers {
		port := promisedPort(o)
		if other, ok := promised[port]; ok {
			d.found(CheckPorts, Warn, "give one of them another frontend.port; on one node they cannot both run",
				"servers %s and %s both promise port %d", other, o.Server, port)
		}
		promised[port] = o.Server
		held = append(held, fmt.Sprintf("%d for server %s", port, o.Server)+d.holder(o.Server, port))
	}
	conflicts := 0
	for _, u := range d.units {
		for _, a := range u.Actors {
			if a.State != state.UnitExited || a.Exit == nil || a.Exit.Reason != actors.WaitPortConflict {
				continue
			}
			conflicts++
			d.found(CheckPorts, Fail, d.Remedies[actors.WaitPortConflict], "%s: another program holds its port on node %s (%s): %s",
				u.Key(), prose.OrDash(prose.ShortID(a.Node)), prose.OrDash(a.IP), prose.OrDash(prose.LastLine(a.Exit.LogTail)))
		}
	}
	switch {
	case conflicts > 0:
	case len(held) == 0:
		d.found(CheckPorts, OK, "", "none is promised: no server is declared")
	default:
		d.found(CheckPorts, OK, "", "%s", prose.List(held))
	}
}

// promisedPort is the frontend's port in the spec of a server.
func promisedPort(o Object) int {
	doc, err := state.DecodeValue(state.ServerKey(o.Server), o.Document)
	if err == nil && doc.Object.Server != nil && doc.Object.Server.Spec.Frontend.Port != 0 {
		return doc.Object.Server.Spec.Frontend.Port
	}
	return state.DefaultFrontendPort
}

// holder says where the frontend of a server listens; empty: nowhere yet.
func (d *Doctor) holder(server string, port int) string {
	for _, u := range d.units {
		if u.Server != server || u.Unit != actors.InfraUnit {
			continue
		}
		for _, a := range u.Actors {
			if a.Ports["http"] == port && a.State == state.UnitRunning {
				return " on " + prose.OrDash(a.IP)
			}
		}
	}
	return ", not in use yet"
}

func (d *Doctor) specs() {
	rejected := 0
	missing := false
	for _, o := range append(slices.Clone(d.servers), d.models...) {
		if o.Status == nil {
			continue
		}
		if c, ok := o.Status.Condition(state.CondAccepted); ok && c.Status == state.StatusFalse {
			rejected++
			d.found(CheckSpecs, Warn, "correct it with `dynctl set`, or `dynctl rollback`", "%s: %s: %s", verdict.Ref(o.Status), c.Reason, prose.FirstLine(c.Message))
		}
		if c, ok := o.Status.Condition(state.CondUpToDate); ok && c.Reason == actors.CondSpecMissing {
			missing = true
			d.found(CheckSpecs, Warn, "set it again, or delete it with `dynctl delete "+verdict.Ref(o.Status)+"`",
				"%s: %s: %s", verdict.Ref(o.Status), c.Reason, prose.FirstLine(c.Message))
		}
	}
	if rejected == 0 && !missing {
		d.found(CheckSpecs, OK, "", "%s, %s, none rejected", state.Counted(len(d.servers), "server"), state.Counted(len(d.models), "model"))
	}
}
