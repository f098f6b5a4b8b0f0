package app

import (
	"encoding/json"
	"net"
	"net/http"
	"strconv"

	"dynctl/actors"
)

// target is one entry of Prometheus' HTTP service discovery.
type target struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// schemeLabel is what Prometheus reads the scheme of a target from; without it that of the
// job counts, which is http unless it says otherwise.
const schemeLabel = "__scheme__"

// targets are the system port of every worker and the HTTP port of every
// frontend that this store runs, in the order of the units.
func targets(in actors.Input) []target {
	secure := map[string]bool{} // servers whose frontend answers TLS alone
	for _, s := range in.Desired.Servers {
		secure[s.Name] = s.Template.FrontendScheme() == "https"
	}
	out := []target{}
	for _, u := range in.Observed.Units {
		if u.StoreID != in.Policy.StoreID {
			continue
		}
		for _, a := range u.Actors {
			role := actors.RoleName(u.Role)
			port, ok := a.Ports[actors.PortSystem]
			if u.Model == "" {
				role = "frontend"
				port, ok = a.Ports[actors.PortHTTP]
			}
			if !ok || a.IP == "" || a.ChildPID == 0 {
				continue
			}
			labels := map[string]string{"server": u.Server, "role": role, "unit": u.Unit, "generation": u.Generation}
			if u.Model != "" {
				labels["model"] = u.Model
			} else if secure[u.Server] {
				labels[schemeLabel] = "https"
			}
			out = append(out, target{[]string{net.JoinHostPort(a.IP, strconv.Itoa(port))}, labels})
		}
	}
	return out
}

// serveTargets answers 503 until it is known what runs: Prometheus then keeps
// the targets that it has.
func (a *App) serveTargets(w http.ResponseWriter, _ *http.Request) {
	s := a.snapshot.Load()
	if s == nil || !s.input.Observed.Synced {
		http.Error(w, "what runs is not known: the agent in Ray is not connected; see /readyz", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	// The reader is gone where this fails.
	_ = json.NewEncoder(w).Encode(targets(s.input))
}
