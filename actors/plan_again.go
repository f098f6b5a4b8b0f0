package actors

import (
	"time"

	"dynctl/state"
)

// askAgain asks the agent in charge to stop what an earlier one was stopping: an agent
// rebuilds its view from Ray, where a unit that is being stopped looks so, and does not
// know that anybody asked for it. Stopping what is being stopped changes nothing, so a
// reconciler that remembers nothing asks once too often.
//
// Only a sweep that is remembered is repeated: what is not ours may be stopped by
// somebody else.
func (p *planner) askAgain() {
	if !p.acting {
		p.out.Asked = p.in.Asked
		return
	}
	agent := p.in.Observed.Agent.Incarnation
	asked := map[state.UnitKey]uint64{}
	for _, u := range sortedUnits(p.in.Observed.Units) {
		if u.State != state.UnitStopping {
			continue
		}
		k := u.Key()
		was, known := p.in.Asked[k]
		ours := u.StoreID == p.in.Policy.StoreID
		asked[k] = agent
		switch {
		case p.in.Asked == nil, known && was == agent:
		case ours:
			p.out.Stops = append(p.out.Stops, Stop{Key: k, Model: u.Model, Generation: u.Generation, GracePeriod: p.graceOf(u),
				Reason: ReasonStopAgain, Message: "another agent was stopping it", Seen: u.Revision})
		case known:
			p.out.Sweeps = append(p.out.Sweeps, Sweep{Key: k, Model: u.Model, Generation: u.Generation, GracePeriod: infraGrace,
				Reason: ReasonStopAgain, Message: "another agent was sweeping it", Seen: u.Revision})
		default:
			delete(asked, k)
		}
	}
	for _, s := range p.out.Stops {
		asked[s.Key] = agent
	}
	for _, s := range p.out.Sweeps {
		asked[s.Key] = agent
	}
	p.out.Asked = asked
}

// graceOf is how long a unit may finish what it does.
func (p *planner) graceOf(u state.Unit) time.Duration {
	for _, m := range p.models {
		if m.Server == u.Server && m.Name == u.Model && m.Accepted != 0 {
			return time.Duration(m.Spec.TerminationGracePeriod)
		}
	}
	return infraGrace
}
