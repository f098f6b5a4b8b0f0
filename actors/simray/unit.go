package simray

import (
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"dynctl/actors"
	"dynctl/state"
)

// unit is one placement group with its actors.
type unit struct {
	key       state.UnitKey
	template  actors.UnitTemplate
	placement actors.Attempt
	group     state.PlacementGroup
	bundles   []*bundle
	actors    []*actor
	stopping  bool
	failed    bool // the placement was given up
	reason    string
	message   string
	causeID   string
	// next is a start that came while the unit was being stopped.
	next *command
	// life changes with each group: what is under way for an earlier one is void.
	life      int
	reported  state.UnitState
	changedAt time.Time
}

// bundle is where a bundle lies; node nil: nowhere yet.
type bundle struct {
	node *node
	gpus []string
}

// actor is one actor. What is reported of it lies in said.
type actor struct {
	unit     *unit
	template actors.ActorTemplate
	said     state.Actor
	goal     actors.Attempt
	// run changes with each process, and at its end.
	run int
	// keep ends the renewal of the lease; nil without one.
	keep     context.CancelFunc
	frontend *frontend
}

// worst orders states: a unit is in the worst one of its actors.
var worst = []state.UnitState{
	state.UnitStopping, state.ActorDead, state.UnitExited, state.UnitPending, state.UnitPlacing,
	state.UnitWaiting, state.UnitStarting, state.UnitRunning,
}

func (u *unit) state() state.UnitState {
	switch {
	case u.stopping:
		return state.UnitStopping
	case u.failed, len(u.actors) == 0:
		return state.UnitExited
	}
	at := len(worst) - 1
	for _, a := range u.actors {
		at = min(at, slices.Index(worst, a.said.State))
	}
	if worst[at] == state.ActorDead {
		return state.UnitExited
	}
	return worst[at]
}

// value is the unit as it is reported.
func (c *Cluster) value(u *unit) state.Unit {
	if s := u.state(); s != u.reported {
		u.reported, u.changedAt = s, time.Now()
	}
	v := state.Unit{
		Incarnation: c.charge.agent.Incarnation, StoreID: c.cfg.StoreID, Server: u.key.Server, Unit: u.key.Unit, Model: u.template.Model, Role: u.template.Role,
		Replica: u.template.Replica, Generation: u.template.Generation, Worker: u.template.Worker, State: u.reported,
		Reason: u.reason, Message: u.message, Digest: u.template.Digest, Restart: u.template.Restart,
		Attempt: u.placement.Number, Failures: u.placement.Failures, PlacementGroup: u.group, ChangedAt: u.changedAt,
		Actors: make([]state.Actor, 0, len(u.actors)),
	}
	v.PlacementGroup.Nodes = nil
	for _, b := range u.bundles {
		if b.node == nil {
			break
		}
		v.PlacementGroup.Nodes = append(v.PlacementGroup.Nodes, b.node.ID)
	}
	for _, a := range u.actors {
		v.Actors = append(v.Actors, a.said)
	}
	return v
}

// report writes the unit; done, if any, is called once it stands there.
func (c *Cluster) report(u *unit, done func()) {
	c.writer.put(unitKey(u.key), c.value(u), done)
}

func unitKey(k state.UnitKey) string { return "unit." + k.Server + "." + k.Unit }

// living reports whether some actor is there.
func (u *unit) living() bool {
	return slices.ContainsFunc(u.actors, func(a *actor) bool { return a.said.PID != 0 })
}

// adopt takes the template of a start. What an actor did before is kept.
func (u *unit) adopt(cmd command) {
	t := *cmd.payload.Template
	u.template, u.placement, u.causeID = t, cmd.payload.Placement, cmd.causeID
	u.failed, u.reason, u.message = false, "", ""
	var list []*actor
	for _, at := range t.Actors {
		i := slices.IndexFunc(u.actors, func(a *actor) bool { return a.template.Name == at.Name })
		if i < 0 {
			list = append(list, &actor{unit: u, template: at, said: state.Actor{Name: at.Name, Bundle: at.Bundle, State: state.UnitPending}})
		} else {
			u.actors[i].template = at
			list = append(list, u.actors[i])
		}
	}
	for _, a := range u.actors {
		if !slices.Contains(list, a) {
			a.endProcess()
		}
	}
	u.actors = list
	for _, a := range u.actors {
		if goal, ok := cmd.payload.Attempts[a.template.Name]; ok {
			a.goal = goal
		}
	}
}

// endProcess stops what is under way for the actor and its process. Its lease lives on.
func (a *actor) endProcess() {
	a.run++
	if a.keep != nil {
		a.keep()
		a.keep = nil
	}
	if a.frontend != nil {
		a.frontend.close()
		a.frontend = nil
	}
	if a.said.Lease != 0 {
		a.said.PreviousLease = a.said.Lease
	}
	a.said.ChildPID, a.said.Lease = 0, 0
}

// exited ends the process as one that nobody asked to.
func (a *actor) exited(c *Cluster, code int, reason string) {
	now := time.Now()
	exit := &state.Exit{Attempt: a.said.Attempt, Code: code, Reason: reason, At: now, InfraAway: !c.ready(a)}
	if !a.said.ReadyAt.IsZero() {
		exit.ReadyFor = now.Sub(a.said.ReadyAt).Seconds()
	}
	a.endProcess()
	a.said.Exit, a.said.State, a.said.ReadyAt = exit, state.UnitExited, time.Time{}
}

// died is the end of the actor itself.
func (a *actor) died(c *Cluster) {
	if a.said.ChildPID != 0 || a.said.Exit == nil {
		a.exited(c, -9, "ActorDied")
	}
	a.endProcess()
	a.said.State, a.said.PID = state.ActorDead, 0
}

// ready reports whether everything runs that an actor needs.
func (c *Cluster) ready(a *actor) bool {
	for _, need := range a.template.Needs {
		found := c.find(a.unit.key.Server, need)
		if found == nil || found.said.State != state.UnitRunning {
			return false
		}
	}
	return true
}

// find is the actor that "unit/label" names.
func (c *Cluster) find(server, need string) *actor {
	id, label, _ := strings.Cut(need, "/")
	u := c.units[state.UnitKey{Server: server, Unit: id}]
	if u == nil {
		return nil
	}
	for _, a := range u.actors {
		if a.template.Label == label {
			return a
		}
	}
	return nil
}

var reference = regexp.MustCompile(`\{(ip|port):([^/}]+)/([^}]+)\}`)

// uses are the references of an actor to other units, with their values.
func (c *Cluster) uses(a *actor) map[string]string {
	out := map[string]string{}
	look := func(t actors.Text) {
		if !t.Expand {
			return
		}
		for _, m := range reference.FindAllStringSubmatch(t.S, -1) {
			other := c.units[state.UnitKey{Server: a.unit.key.Server, Unit: m[2]}]
			if other == nil || other == a.unit {
				continue
			}
			for _, x := range other.actors {
				if port, ok := x.said.Ports[m[3]]; ok && m[1] == "port" {
					out[m[0]] = strconv.Itoa(port)
				} else if m[1] == "ip" && strconv.Itoa(x.said.Bundle) == m[3] && x.said.IP != "" {
					out[m[0]] = x.said.IP
				}
			}
		}
	}
	for _, t := range a.template.Argv {
		look(t)
	}
	for _, v := range a.template.Env {
		look(v.Value)
	}
	return out
}
