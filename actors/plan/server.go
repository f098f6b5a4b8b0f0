package plan

import (
	"cmp"
	"fmt"
	"time"

	"dynctl/actors"
	"dynctl/actors/place"
	"dynctl/actors/render"
	"dynctl/state"
)

// planServer decides about a server's infra unit and about what stands in its way. The
// rules, first match wins:
//
//  1. another store's units stand under the server's names: touch nothing
//  2. a living Curator driver's do: touch nothing
//  3. a dead one's do, and the server has nothing yet: sweep them first
//  4. what its infra does, or what was accepted of it, cannot be read: nothing
//  5. etcd or NATS move: every unit of a model stops, then infra
//  6. nothing asks for the server: infra stops once no worker is left
//  7. its etcd is another server's: nothing of it is started
//  8. infra is missing, or parts of it need an execution: start
func (r *round) planServer(s *server) {
	if !r.acting || r.judgeOwner(s) { // rules 1 to 3
		return
	}
	if s.Recovering || r.isHidden(state.UnitKey{Server: s.Name, Unit: actors.InfraUnit}) { // rule 4
		return
	}
	asked := r.askedFor(s)
	switch {
	case asked && s.infra != nil && s.infra.Generation != s.Template.Generation: // rule 5
		s.recreating = true
		s.blocked, s.blockedMessage = actors.WaitInfraStopping, "etcd or NATS move; every unit of the server starts again"
		r.stopInfraWhenAlone(s, actors.ReasonInfraRecreated)
		return
	case !asked: // rule 6
		r.stopInfraWhenAlone(s, actors.ReasonServerUnused)
		return
	}
	if o := r.ownerOfEtcd(s); o != nil { // rule 7
		s.blocked, s.blockedMessage = actors.WaitForeignEtcd, foreignEtcdMessage(o)
		if s.infra == nil {
			return
		}
	}
	r.ensureInfra(s) // rule 8
}

// ownerOfEtcd is the server whose etcd an external one turns out to be: one that manages
// it, or that came first to it with a namespace which clashes. Their addresses may be
// written differently, so the cluster itself says who it is.
func (r *round) ownerOfEtcd(s *server) *server {
	if s.Spec.Etcd.Endpoint == "" {
		return nil
	}
	for _, o := range r.servers {
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

func foreignEtcdMessage(owner *server) string {
	if owner.Spec.Etcd.Endpoint != "" {
		return fmt.Sprintf("spec.etcd.endpoint is the etcd that server %s uses, and each would see the other's workers: "+
			"choose another spec.dynamoNamespace, or another etcd", owner.Name)
	}
	return fmt.Sprintf("spec.etcd.endpoint is the etcd of server %s, under this spelling or another: "+
		"leave it empty for an etcd of its own, or name one that no server manages", owner.Name)
}

// judgeOwner applies rules 1 to 3 and reports whether the server is blocked.
func (r *round) judgeOwner(s *server) bool {
	var leftovers []*state.Unit
	for _, u := range s.foreign {
		r.spoken[u.Key()] = true
		switch {
		case u.StoreID != "": // rule 1 of planServer
			s.blocked = actors.WaitNotOwner
			s.blockedMessage = fmt.Sprintf("unit %s belongs to the spec store %s; give this server another name or use that store", u.Unit, u.StoreID)
		case u.JobAlive && s.blocked == "": // rule 2 of planServer
			s.blocked = actors.WaitCuratorAlive
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
			r.orphan(u, actors.ReasonLeftover, "it carries no store id and appeared after the server had started")
		}
		return false
	}
	for _, u := range leftovers { // rule 3 of planServer
		r.suspect(u, actors.ReasonLeftover, "left under the server's name by a Ray job that is dead")
	}
	s.blocked, s.blockedMessage = actors.WaitLeftovers, swept(len(leftovers))
	return true
}

// askedFor reports whether a Server or a model that still counts asks for infra.
func (r *round) askedFor(s *server) bool {
	if s.Explicit && !r.deletionDue(s.Deleted) {
		return true
	}
	for _, m := range s.models {
		if m.deletion != deleted && m.Accepted != 0 {
			return true
		}
	}
	return false
}

// infraGrace is how long the frontend may finish its streams.
const infraGrace = 120 * time.Second

func (r *round) stopInfraWhenAlone(s *server, reason string) {
	if s.infra == nil {
		return
	}
	r.spoken[s.infra.Key()] = true
	if len(s.units) > 0 || r.hiddenIn(s.Name) {
		return
	}
	r.stop(s.infra, actors.End{GracePeriod: infraGrace, Reason: reason, Revision: s.Revision,
		Message: "the frontend, then NATS and etcd"})
}

// ensureInfra starts infra, or what of it does not run as its template says.
func (r *round) ensureInfra(s *server) {
	if s.infra == nil {
		r.startInfra(s, actors.Attempt{Number: 1}, actors.ReasonInfraMissing, "")
		return
	}
	u, backoff := s.infra, s.Spec.Healing.Backoff
	r.spoken[u.Key()] = true
	if u.State == state.UnitStopping {
		s.blocked, s.blockedMessage = actors.WaitInfraStopping, "infra is being stopped"
		return
	}
	if unplaced(u) {
		next, due := nextPlacement(u, backoff)
		if due.After(r.in.Now) {
			r.waitInfra(actors.Wait{Key: u.Key(), Reason: actors.WaitPlacement, Message: u.Message, Until: due})
			return
		}
		r.startInfra(s, next, actors.ReasonPlacementRetry, u.Message)
		return
	}
	t := r.infraOf(s)
	w := proposeExited(u, t.Actors, backoff, r.in.Now)
	w.proposeFrontend(s, t.Actors, registrationsLost(s, r.in.Now))
	if !w.until.IsZero() {
		r.waitInfra(w.wait)
	}
	r.execute(w, t, u, s.Accepted)
}

func (r *round) waitInfra(w actors.Wait) {
	r.out.Waits = append(r.out.Waits, w)
	r.checkAt(w.Until)
}

// startInfra starts infra unless the Dynamo on a node is too old, or there is no room.
func (r *round) startInfra(s *server, placement actors.Attempt, reason, message string) {
	key := state.UnitKey{Server: s.Name, Unit: actors.InfraUnit}
	if why := r.releases.TooOld(s.Spec.RuntimeEnv); why != "" {
		s.blocked, s.blockedMessage = actors.WaitDynamoTooOld, why
		r.waitInfra(actors.Wait{Key: key, Reason: actors.WaitDynamoTooOld, Message: why})
		return
	}
	shape, unfit := place.Infra(s.Template.Needs, r.ledger.room())
	if unfit != nil {
		s.blocked, s.blockedMessage = unfit.Reason, unfit.Message
		r.waitInfra(actors.Wait{Key: key, Reason: unfit.Reason, Message: unfit.Message})
		return
	}
	r.ledger.promise(shape)
	t := r.infraTemplate(s, shape)
	seen := uint64(0)
	if s.infra != nil {
		seen = s.infra.Revision
	}
	r.start(actors.Start{Template: t, Attempts: firstAttempts(s.infra, t.Actors), Placement: placement, Reason: reason, Message: message,
		Revision: s.Accepted, Seen: seen})
	r.asked[key] = shape
}

func (r *round) infraTemplate(s *server, shape place.Shape) actors.UnitTemplate {
	t := render.Infra(s.Template, r.in.Policy.RayNamespace, shape)
	t.PlacementTimeout = r.in.Policy.PlacementTimeout.Seconds()
	return t
}

// swept says what is swept before anything starts.
func swept(units int) string {
	if units == 1 {
		return "1 unit of a dead driver is swept first"
	}
	return fmt.Sprintf("%d units of a dead driver are swept first", units)
}
