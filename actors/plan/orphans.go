package plan

import (
	"fmt"
	"time"

	"dynctl/actors"
	"dynctl/state"
)

// planOrphans looks at every unit that no rule has spoken for. Nothing is swept on
// a first look, and by itself nothing but what a delete marker names.
func (r *round) planOrphans() {
	ended := map[string]bool{} // models whose delete is acted on
	for _, m := range r.awake {
		if m.deletion == deleted {
			ended[m.Server+"/"+m.Name] = true
		}
	}
	for i := range r.units {
		if r.ofModel[i] {
			continue
		}
		u := r.units[i]
		if r.spoken[u.Key()] || u.State == state.UnitStopping {
			continue
		}
		switch {
		case u.StoreID == r.in.Policy.StoreID && u.Model != "" && ended[u.Server+"/"+u.Model]:
			r.suspect(u, actors.ReasonDeleted, "its model was deleted")
		case u.StoreID == "":
			r.orphan(u, actors.ReasonOrphan, "it stands under our names and carries no store id")
		case u.StoreID != r.in.Policy.StoreID:
			r.orphan(u, actors.WaitNotOwner, "it belongs to the spec store "+u.StoreID)
		default:
			r.orphan(u, actors.ReasonOrphan, fmt.Sprintf("no spec asks for model %q of server %q, and none says that it was deleted", u.Model, u.Server))
		}
	}
}

// suspect sweeps a unit at the second look.
func (r *round) suspect(u *state.Unit, reason, message string) {
	r.spoken[u.Key()] = true
	first, seen := r.in.Suspects[u.Key()]
	if !seen {
		first = r.in.Now
	}
	if r.out.Suspects == nil {
		r.out.Suspects = map[state.UnitKey]time.Time{}
	}
	r.out.Suspects[u.Key()] = first
	if due := first.Add(r.in.Policy.SweepLook); !seen || r.in.Now.Before(due) {
		r.checkAt(due)
		return
	}
	if u.State == state.UnitStopping {
		return
	}
	r.out.Sweeps = append(r.out.Sweeps, actors.End{Key: u.Key(), Model: u.Model, Generation: u.Generation,
		GracePeriod: infraGrace, Reason: reason, Message: message, Seen: u.Revision})
}

func (r *round) orphan(u *state.Unit, reason, message string) {
	r.spoken[u.Key()] = true
	r.out.Orphans = append(r.out.Orphans, actors.Orphan{Key: u.Key(), Reason: reason,
		Message: message + "; look with `dynctl get units`, end it with `dynctl sweep " + u.Server + "/" + u.Unit + "`"})
}
