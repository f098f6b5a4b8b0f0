package actors

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"dynctl/state"
)

// planServer decides about a server's infra unit and about what stands in its
// way. The rules, first match wins:
//
//  1. another store's units stand under the server's names: touch nothing
//  2. a living Curator driver's do: touch nothing
//  3. a dead one's do, and the server has nothing yet: sweep them first
//  4. what its infra does, or what was accepted of it, cannot be read: nothing
//  5. etcd or NATS move: every unit of a model stops, then infra
//  6. nothing asks for the server: infra stops once no worker is left
//  7. its etcd is another server's: nothing of it is started
//  8. infra is missing, or parts of it need an execution: start
func (p *planner) planServer(s *serverView) {
	if !p.acting {
		return
	}
	if p.checkOwner(s) {
		return
	}
	if s.Recovering || p.hidden(state.UnitKey{Server: s.Name, Unit: InfraUnit}) {
		return
	}
	wanted := p.serverWanted(s)
	if s.infra != nil && s.infra.Generation != s.Template.Generation && wanted {
		s.recreating = true
		s.blocked, s.blockedMessage = WaitInfraStopping, "etcd or NATS move; every unit of the server starts again"
		p.stopInfraWhenAlone(s, ReasonInfraRecreated)
		return
	}
	if !wanted {
		p.stopInfraWhenAlone(s, ReasonServerUnused)
		return
	}
	if o := p.ownerOfEtcd(s); o != nil {
		s.blocked = WaitForeignEtcd
		s.blockedMessage = fmt.Sprintf("spec.etcd.endpoint is the etcd of server %s, under this spelling or another: "+
			"leave it empty for an etcd of its own, or name one that no server manages", o.Name)
		if o.Spec.Etcd.Endpoint != "" {
			s.blockedMessage = fmt.Sprintf("spec.etcd.endpoint is the etcd that server %s uses, and each would see the other's workers: "+
				"choose another spec.dynamoNamespace, or another etcd", o.Name)
		}
		if s.infra == nil {
			return
		}
	}
	p.ensureInfra(s)
}

// ownerOfEtcd is the server whose etcd an external one turns out to be: one that
// manages it, or that came first to it with a namespace which clashes. Their addresses
// may be written differently, so the cluster itself says who it is.
func (p *planner) ownerOfEtcd(s *serverView) *serverView {
	if s.Spec.Etcd.Endpoint == "" {
		return nil
	}
	for _, o := range p.servers {
		if o == s || !s.regs.SameEtcd(o.regs) {
			continue
		}
		managed := o.Spec.Etcd.Endpoint == ""
		clash := state.NamespacesClash(s.Spec.DynamoNamespace, o.Spec.DynamoNamespace)
		if managed || clash && cmp.Or(cmp.Compare(o.Accepted, s.Accepted), cmp.Compare(o.Name, s.Name)) < 0 {
			return o
		}
	}
	return nil
}

// checkOwner applies rules 1 to 3 and says whether the server is blocked.
func (p *planner) checkOwner(s *serverView) bool {
	var leftovers []state.Unit
	for _, u := range s.foreign {
		p.handled[u.Key()] = true
		switch {
		case u.StoreID != "":
			s.blocked = WaitNotOwner
			s.blockedMessage = fmt.Sprintf("unit %s belongs to the spec store %s; give this server another name or use that store", u.Unit, u.StoreID)
		case u.JobAlive && s.blocked == "":
			s.blocked = WaitCuratorAlive
			s.blockedMessage = fmt.Sprintf("unit %s belongs to a Ray job that is alive; end that job or give this server another name", u.Unit)
			if u.Message != "" {
				s.blockedMessage = fmt.Sprintf("whose unit %s is cannot be told yet: %s", u.Unit, u.Message)
			}
		default:
			leftovers = append(leftovers, u)
		}
	}
	if s.blocked != "" {
		return true
	}
	if len(leftovers) == 0 {
		return false
	}
	if s.infra != nil || len(s.units) > 0 {
		for _, u := range leftovers {
			p.orphan(u, ReasonLeftover, "it carries no store id and appeared after the server had started")
		}
		return false
	}
	for _, u := range leftovers {
		p.suspect(u, ReasonLeftover, "left under the server's name by a Ray job that is dead")
	}
	s.blocked, s.blockedMessage = WaitLeftovers, fmt.Sprintf("%d units of a dead driver are swept first", len(leftovers))
	return true
}

// serverWanted says that a Server or a model that still counts asks for infra.
func (p *planner) serverWanted(s *serverView) bool {
	if s.Explicit && !p.deletionDue(s.Deleted) {
		return true
	}
	for _, m := range s.models {
		if !m.gone && m.Accepted != 0 {
			return true
		}
	}
	return false
}

func (p *planner) stopInfraWhenAlone(s *serverView, reason string) {
	if s.infra == nil {
		return
	}
	p.handled[s.infra.Key()] = true
	if len(s.units) > 0 || p.hiddenIn(s.Name) {
		return
	}
	p.stop(*s.infra, Stop{GracePeriod: infraGrace, Reason: reason, Revision: s.Revision,
		Message: "the frontend, then NATS and etcd"})
}

// infraGrace is how long the frontend may finish its streams.
const infraGrace = 120 * time.Second

// ensureInfra starts infra, or what of it does not run as its template says.
func (p *planner) ensureInfra(s *serverView) {
	backoff := s.Spec.Healing.Backoff
	if s.infra == nil {
		p.startInfra(s, Attempt{Number: 1}, ReasonInfraMissing, "")
		return
	}
	u := *s.infra
	p.handled[u.Key()] = true
	if u.State == state.UnitStopping {
		s.blocked, s.blockedMessage = WaitInfraStopping, "infra is being stopped"
		return
	}
	if unplaced(u) {
		next, due := placementRetry(u, backoff)
		if due.After(p.in.Now) {
			p.wait(Wait{Key: u.Key(), Reason: WaitPlacement, Message: u.Message, Until: due})
			return
		}
		p.startInfra(s, next, ReasonPlacementRetry, u.Message)
		return
	}
	t := infraUnit(s, p.in.Policy, placedShape(u))
	h := p.heal(u, t.Actors, backoff)
	p.refreshFrontend(s, u, t.Actors, &h)
	p.sendHealing(h, t, u, s.Accepted)
}

// refreshFrontend executes a frontend anew whose template changed, or whose
// registrations went with etcd's data. etcd and NATS never notice.
func (p *planner) refreshFrontend(s *serverView, u state.Unit, templates []ActorTemplate, h *healing) {
	for _, t := range templates {
		if !isFrontend(t) {
			continue
		}
		a, ok := findActor(u, t.Name)
		if !ok || a.Attempt == 0 || a.State != state.UnitRunning && a.State != state.UnitStarting {
			continue
		}
		next := Attempt{Number: a.Attempt + 1}
		switch {
		case a.Digest != t.Digest:
			h.ask(t.Name, next, ReasonTemplateChanged, "the frontend's command line changed; a gap of 1 to 3 s")
		case usesStale(a, u):
			h.ask(t.Name, next, ReasonInfraMoved, "etcd or NATS came back at another address")
		case p.registrationsLost(s) && a.StartedAt.Before(etcdStarted(s)):
			h.ask(t.Name, next, ReasonRegistrationLost, "etcd came back without its data")
		}
	}
}

// sendHealing emits the start that a healing asks for, or the wait.
func (p *planner) sendHealing(h healing, t UnitTemplate, u state.Unit, revision uint64) {
	if len(h.attempts) > 0 {
		p.start(Start{Template: t, Attempts: h.attempts, Placement: Attempt{Number: u.Attempt, Failures: u.Failures},
			Reason: h.reason, Message: h.message, Revision: revision, Seen: u.Revision})
	}
	if !h.until.IsZero() && u.Unit == InfraUnit {
		p.wait(h.waited)
	}
}

func (p *planner) startInfra(s *serverView, placement Attempt, reason, message string) {
	key := state.UnitKey{Server: s.Name, Unit: InfraUnit}
	if why := tooOld(p.dynamo, s.Spec.RuntimeEnv); why != "" {
		s.blocked, s.blockedMessage = WaitDynamoTooOld, why
		p.wait(Wait{Key: key, Reason: WaitDynamoTooOld, Message: why})
		return
	}
	shape, unfit := ChooseInfraShape(s.Template.Needs, p.room.nodes)
	if unfit != nil {
		s.blocked, s.blockedMessage = unfit.Reason, unfit.Message
		p.wait(Wait{Key: key, Reason: unfit.Reason, Message: unfit.Message})
		return
	}
	p.room.commit(shape)
	p.asked[key] = true
	t := infraUnit(s, p.in.Policy, shape)
	attempts := map[string]Attempt{}
	for _, a := range t.Actors {
		attempts[a.Name] = Attempt{Number: 1}
	}
	seen := uint64(0)
	if s.infra != nil {
		seen = s.infra.Revision
		attempts = firstAttempts(*s.infra, t.Actors)
	}
	p.start(Start{Template: t, Attempts: attempts, Placement: placement, Reason: reason, Message: message,
		Revision: s.Accepted, Seen: seen})
}

// firstAttempts numbers the first execution in a new group: one more than the last of an
// actor that is still reported, so that the number grows over the unit's life.
func firstAttempts(u state.Unit, templates []ActorTemplate) map[string]Attempt {
	out := map[string]Attempt{}
	for _, t := range templates {
		a, _ := findActor(u, t.Name)
		out[t.Name] = Attempt{Number: a.Attempt + 1, Failures: a.Failures}
	}
	return out
}

func infraUnit(s *serverView, policy Policy, shape Shape) UnitTemplate {
	t := s.Template.Unit(policy.RayNamespace, shape)
	t.PlacementTimeout = policy.PlacementTimeout.Seconds()
	return t
}

// placedShape is the shape that a unit keeps for its life.
func placedShape(u state.Unit) Shape {
	return Shape{Bundles: u.PlacementGroup.Bundles, Strategy: u.PlacementGroup.Strategy, Selector: u.PlacementGroup.Selector}
}

func isFrontend(t ActorTemplate) bool { return strings.HasPrefix(t.Label, LabelFrontend) }

// usesStale says that an address which the actor was executed with is not the one
// at which infra is reached now. An address that infra does not have (yet) proves
// nothing.
func usesStale(a state.Actor, infra state.Unit) bool {
	for placeholder, value := range a.Uses {
		if now, ok := resolve(infra, placeholder); ok && now != value {
			return true
		}
	}
	return false
}

// resolve reads {ip:infra/BUNDLE} or {port:infra/NAME} from the running unit.
func resolve(u state.Unit, placeholder string) (string, bool) {
	kind, ref, ok := strings.Cut(strings.Trim(placeholder, "{}"), ":")
	unit, name, ok2 := strings.Cut(ref, "/")
	if !ok || !ok2 || unit != u.Unit {
		return "", false
	}
	for _, a := range u.Actors {
		if a.State != state.UnitRunning {
			continue
		}
		if port, ok := a.Ports[name]; kind == "port" && ok {
			return fmt.Sprint(port), true
		}
		if kind == "ip" && fmt.Sprint(a.Bundle) == name && a.IP != "" {
			return a.IP, true
		}
	}
	return "", false
}

// etcdStarted is when the managed etcd was last executed; zero when it is not
// managed or does not run.
func etcdStarted(s *serverView) (t time.Time) {
	if s.infra == nil {
		return t
	}
	for _, a := range s.infra.Actors {
		if _, ok := a.Ports[PortEtcd]; ok && a.State == state.UnitRunning {
			t = a.StartedAt
		}
	}
	return t
}

// frontendCatchUp is how long the frontend may take, once etcd is back, to hear again of
// workers that leave: its watches wait for each other, and what it does not hear of gets
// requests. 10 s were measured after an etcd that was away for 2 s.
const frontendCatchUp = 15 * time.Second

// frontendBehind says that the frontend may not hear yet of a worker that leaves.
func (p *planner) frontendBehind(s *serverView) bool {
	etcd := etcdStarted(s)
	heard := etcd.Add(frontendCatchUp)
	if etcd.IsZero() || !heard.After(p.in.Now) {
		return false
	}
	i := slices.IndexFunc(s.infra.Actors, func(a state.Actor) bool { return a.Ports[PortHTTP] != 0 && a.StartedAt.Before(etcd) })
	if i >= 0 {
		p.checkAt(heard)
	}
	return i >= 0
}

// registrationsLost says that etcd came back without the data that it had: the
// registry saw what a running worker had registered go with it; or, where it has
// not watched for long enough, a worker that registered before etcd's last
// execution is not there, nor is any other such. With its data, leases outlive the
// gap, and a worker that is missing alone has left by itself.
func (p *planner) registrationsLost(s *serverView) bool {
	started := etcdStarted(s)
	if started.IsZero() || !s.regs.Known {
		return false
	}
	missing, there := false, false
	for _, u := range s.units {
		for _, a := range u.Actors {
			switch {
			case a.State != state.UnitRunning || a.Lease == 0:
			case slices.Contains(s.regs.Lost, a.Lease):
				return true
			case !a.StartedAt.Before(started) || slices.Contains(s.regs.Left, a.Lease):
			case isRegistered(s.regs, a.Lease):
				there = true
			default:
				missing = true
			}
		}
	}
	return missing && !there && p.in.Now.Sub(started) >= etcdSettle
}

// etcdSettle is how old an execution of etcd must be before absent instances
// prove that its data is gone.
const etcdSettle = time.Second

// registrationLost says that a unit's registration is not there, and that it has
// not left by itself.
func registrationLost(u state.Unit, regs state.Registrations, started time.Time) bool {
	return slices.ContainsFunc(u.Actors, func(a state.Actor) bool {
		switch {
		case a.State != state.UnitRunning || a.Lease == 0 || isRegistered(regs, a.Lease):
			return false
		case slices.Contains(regs.Lost, a.Lease):
			return true
		}
		return a.StartedAt.Before(started) && !slices.Contains(regs.Left, a.Lease)
	})
}

func isRegistered(regs state.Registrations, lease int64) bool {
	return slices.ContainsFunc(regs.Instances, func(i state.Instance) bool { return i.Lease == lease })
}

// wait notes that a unit cannot be started now.
func (p *planner) wait(w Wait) {
	p.out.Waits = append(p.out.Waits, w)
	p.checkAt(w.Until)
}
