package actors

import (
	"fmt"
	"time"

	"dynctl/state"
)

// planOrphans looks at every unit that no rule has spoken for. Nothing is swept on
// a first look, and by itself nothing but what a delete marker names.
func (p *planner) planOrphans() {
	deleted := map[string]bool{}
	for _, m := range p.models {
		if m.gone {
			deleted[m.Server+"/"+m.Name] = true
		}
	}
	for _, u := range sortedUnits(p.in.Observed.Units) {
		if p.handled[u.Key()] || u.State == state.UnitStopping {
			continue
		}
		switch {
		case u.StoreID == p.in.Policy.StoreID && u.Model != "" && deleted[u.Server+"/"+u.Model]:
			p.suspect(u, ReasonDeleted, "its model was deleted")
		case u.StoreID == "":
			p.orphan(u, ReasonOrphan, "it stands under our names and carries no store id")
		case u.StoreID != p.in.Policy.StoreID:
			p.orphan(u, WaitNotOwner, "it belongs to the spec store "+u.StoreID)
		default:
			p.orphan(u, ReasonOrphan, fmt.Sprintf("no spec asks for model %q of server %q, and none says that it was deleted", u.Model, u.Server))
		}
	}
}

// suspect sweeps a unit at the second look.
func (p *planner) suspect(u state.Unit, reason, message string) {
	p.handled[u.Key()] = true
	first, seen := p.in.Suspects[u.Key()]
	if !seen {
		first = p.in.Now
	}
	if p.out.Suspects == nil {
		p.out.Suspects = map[state.UnitKey]time.Time{}
	}
	p.out.Suspects[u.Key()] = first
	if due := first.Add(p.in.Policy.SweepLook); !seen || p.in.Now.Before(due) {
		p.checkAt(due)
		return
	}
	if u.State == state.UnitStopping {
		return
	}
	p.out.Sweeps = append(p.out.Sweeps, Sweep{Key: u.Key(), Model: u.Model, Generation: u.Generation,
		GracePeriod: infraGrace, Reason: reason, Message: message, Seen: u.Revision})
}

func (p *planner) orphan(u state.Unit, reason, message string) {
	p.handled[u.Key()] = true
	p.out.Orphans = append(p.out.Orphans, Orphan{Key: u.Key(), Reason: reason,
		Message: message + "; look with `dynctl get units`, end it with `dynctl sweep " + u.Server + "/" + u.Unit + "`"})
}
