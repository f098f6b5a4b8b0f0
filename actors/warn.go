package actors

import "dynctl/state"

// WarnModel returns what a valid model says and what does not do what it seems to
// on its server. Both specs have their defaults filled in.
func WarnModel(m state.Model, _ state.ServerSpec) []state.Warning {
	return state.WarnModel(m)
}

// WarnServer is the same for a server.
func WarnServer(state.Server) []state.Warning {
	return nil
}

// warnings are those of all accepted objects: servers before their models.
func (d Desired) warnings() []state.Warning {
	out := []state.Warning{}
	for _, s := range d.Servers {
		out = append(out, s.Warnings...)
		for _, m := range d.Models {
			if m.Server == s.Name {
				out = append(out, m.Warnings...)
			}
		}
	}
	return out
}
