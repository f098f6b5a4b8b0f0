package accept

import (
	"cmp"
	"slices"

	"dynctl/state"
)

// What concerns an object is found without looking at all others: with tens of thousands
// of objects the looking would be all that happens. What is observed is in units.go.

// modelsOf are the models of a server, sorted by name.
func (a *accepter) modelsOf(server string) []*acceptedModel { return within(a.models, server) }

// claim notes what a model claims. What it claimed before stays noted: whoever asks
// looks at what it is now.
func (m *Memo) claim(x *acceptedModel) {
	if m.claimed == nil {
		m.claimed = map[string][]*acceptedModel{}
	}
	for _, c := range state.ModelClaims(x.object) {
		c = x.Server + " " + c
		if !slices.Contains(x.claims, c) {
			x.claims = append(x.claims, c)
			m.claimed[c] = append(m.claimed[c], x)
		}
	}
}

// disclaim takes back all that a model claims.
func (m *Memo) disclaim(x *acceptedModel) {
	for _, c := range x.claims {
		left := slices.DeleteFunc(m.claimed[c], func(o *acceptedModel) bool { return o == x })
		if m.claimed[c] = left; len(left) == 0 {
			delete(m.claimed, c)
		}
	}
	x.claims = nil
}

// sharing are the accepted models that claim something that an object claims too,
// sorted by name.
func (a *accepter) sharing(m *acceptedModel, object state.Model) []state.Model {
	var out []state.Model
	for _, c := range state.ModelClaims(object) {
		for _, o := range a.memo.claimed[m.Server+" "+c] {
			if o != m && o.Accepted != 0 && (o.Deleted == nil || !o.Deleted.Now) {
				out = append(out, o.object)
			}
		}
	}
	slices.SortStableFunc(out, func(x, y state.Model) int { return cmp.Compare(x.Metadata.Name, y.Metadata.Name) })
	return out
}

// etcdsOf are the servers by the hosts of their external etcds.
func (a *accepter) etcdsOf() map[string][]*acceptedServer {
	if a.etcds == nil {
		a.etcds = map[string][]*acceptedServer{}
		for _, s := range a.servers {
			a.claimEtcd(s)
		}
	}
	return a.etcds
}

func (a *accepter) claimEtcd(s *acceptedServer) {
	for _, c := range state.ServerClaims(s.object) {
		a.etcds[c] = append(a.etcds[c], s)
	}
}

// sharingEtcd are the servers on an external etcd of an object's, sorted by name.
func (a *accepter) sharingEtcd(s *acceptedServer, object state.Server) []state.Server {
	var out []state.Server
	for _, c := range state.ServerClaims(object) {
		for _, o := range a.etcdsOf()[c] {
			if o != s {
				out = append(out, o.object)
			}
		}
	}
	slices.SortStableFunc(out, func(x, y state.Server) int { return cmp.Compare(x.Metadata.Name, y.Metadata.Name) })
	return out
}
