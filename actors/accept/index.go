package accept

import (
	"cmp"
	"slices"

	"dynctl/state"
)

// index finds what concerns an object without looking at all others: with tens of
// thousands of new objects in one round the looking would be all that happens.
type index struct {
	models  map[string][]*acceptedModel // by server, sorted by name
	units   map[string][]state.Unit     // by server
	claimed map[string][]*acceptedModel // by server and claim
	etcds   map[string][]*acceptedServer
}

func (a *accepter) indexed() *index {
	if a.found != nil {
		return a.found
	}
	x := &index{
		models: map[string][]*acceptedModel{}, units: map[string][]state.Unit{},
		claimed: map[string][]*acceptedModel{}, etcds: map[string][]*acceptedServer{},
	}
	for _, m := range a.models {
		x.models[m.Server] = append(x.models[m.Server], m)
		if m.Accepted != 0 {
			x.claim(m)
		}
	}
	for _, u := range a.in.Units {
		x.units[u.Server] = append(x.units[u.Server], u)
	}
	for _, s := range a.servers {
		x.claimEtcd(s)
	}
	a.found = x
	return x
}

// claim notes what a model claims. What it claimed before stays noted: whoever asks
// looks at what it is now.
func (x *index) claim(m *acceptedModel) {
	for _, c := range state.ModelClaims(m.object) {
		x.claimed[m.Server+" "+c] = append(x.claimed[m.Server+" "+c], m)
	}
}

func (x *index) claimEtcd(s *acceptedServer) {
	for _, c := range state.ServerClaims(s.object) {
		x.etcds[c] = append(x.etcds[c], s)
	}
}

// sharing are the accepted models that claim something that an object claims too,
// sorted by name.
func (x *index) sharing(m *acceptedModel, object state.Model) []state.Model {
	var out []state.Model
	for _, c := range state.ModelClaims(object) {
		for _, o := range x.claimed[m.Server+" "+c] {
			if o != m && o.Accepted != 0 && (o.Deleted == nil || !o.Deleted.Now) {
				out = append(out, o.object)
			}
		}
	}
	slices.SortStableFunc(out, func(x, y state.Model) int { return cmp.Compare(x.Metadata.Name, y.Metadata.Name) })
	return out
}

// sharingEtcd are the servers on an external etcd of an object's, sorted by name.
func (x *index) sharingEtcd(s *acceptedServer, object state.Server) []state.Server {
	var out []state.Server
	for _, c := range state.ServerClaims(object) {
		for _, o := range x.etcds[c] {
			if o != s {
				out = append(out, o.object)
			}
		}
	}
	slices.SortStableFunc(out, func(x, y state.Server) int { return cmp.Compare(x.Metadata.Name, y.Metadata.Name) })
	return out
}
