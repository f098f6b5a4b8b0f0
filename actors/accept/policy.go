package accept

import (
	"fmt"

	"dynctl/state"
	"dynctl/state/policy"
)

// What the policy says of a new revision, and of what was accepted before it said so.

func invalids(found []policy.Denial) []*state.Invalid {
	var out []*state.Invalid
	for _, d := range found {
		out = append(out, d.Invalid())
	}
	return out
}

// deniedModel is why a revision of a model may not run.
func (a *accepter) deniedModel(m *acceptedModel, object state.Model) []*state.Invalid {
	bad := invalids(a.in.Policy.Model(object))
	if len(bad) > 0 || !a.in.Policy.HasLimits() {
		return bad
	}
	before := heldBy(m)
	return invalids(a.in.Policy.Room(policy.UsageOf(object), before, a.usageOf(m.Server).Sub(before)))
}

// heldBy is what the accepted revision of a model holds.
func heldBy(m *acceptedModel) policy.Usage {
	if m.Accepted == 0 || m.DeletedForGood() {
		return policy.Usage{}
	}
	return policy.UsageOf(m.object)
}

// usageOf is what the accepted models of a server hold together.
func (a *accepter) usageOf(server string) policy.Usage {
	if u, known := a.usage[server]; known {
		return u
	}
	var u policy.Usage
	for _, m := range a.modelsOf(server) {
		u = u.Add(heldBy(m))
	}
	if a.usage == nil {
		a.usage = map[string]policy.Usage{}
	}
	a.usage[server] = u
	return u
}

// spend counts a revision in the place of the one before.
func (a *accepter) spend(m *acceptedModel, object state.Model) {
	if a.in.Policy.HasLimits() {
		all := a.usageOf(m.Server)
		a.usage[m.Server] = all.Sub(heldBy(m)).Add(policy.UsageOf(object))
	}
}

// runsOn is the warning for something that runs and would be denied now.
func runsOn(d policy.Denial) state.Warning {
	return state.Warning{Path: d.Path, Message: fmt.Sprintf(
		"it was accepted before the policy denied it, and goes on; the next revision with it is denied: %s (rule: %s)", d.Message, d.Rule)}
}

func (a *accepter) warnPolicyModel(m *acceptedModel) []state.Warning {
	return warnDenied(state.ModelKey(m.Server, m.Name), a.in.Policy.Model(m.object))
}

// warnPolicyServer is that for a server, and for what its models hold together.
func (a *accepter) warnPolicyServer(s *acceptedServer) []state.Warning {
	found := a.in.Policy.Server(s.object)
	if a.in.Policy.HasLimits() {
		found = append(found, a.in.Policy.Over(a.usageOf(s.Name))...)
	}
	return warnDenied(state.ServerKey(s.Name), found)
}

func warnDenied(k state.Key, found []policy.Denial) []state.Warning {
	var list []state.Warning
	for _, d := range found {
		list = append(list, runsOn(d))
	}
	return keyed(k, list)
}

// policy forgets what was warned of when the policy is another.
func (m *Memo) policy(p *policy.Policy) {
	if m.rules != p {
		m.rules, m.warned = p, nil
		m.taught++
	}
}
