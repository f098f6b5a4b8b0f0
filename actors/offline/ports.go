package offline

import (
	"regexp"
	"strconv"

	"dynctl/actors"
	"dynctl/state"
)

// Ports that are never given: Ray's own workers listen there.
const (
	reservedFrom = 10002
	reservedTo   = 19999
	lastPort     = 65535
)

// portBook gives ports as if all units shared one node.
type portBook struct {
	taken map[int]bool
	// given is by "unit/name" of the server at hand.
	given map[string]int
}

// newPortBook promises the ports that may be no others.
func newPortBook(servers []actors.DesiredServer) *portBook {
	b := &portBook{taken: map[int]bool{}}
	for _, s := range servers {
		b.taken[s.Spec.Frontend.Port] = true
	}
	return b
}

// server begins another server, whose units are renamed.
func (b *portBook) server() *portBook {
	return &portBook{taken: b.taken, given: map[string]int{}}
}

// give finds the ports of a unit.
func (b *portBook) give(u actors.UnitTemplate) {
	for _, a := range u.Actors {
		for _, p := range a.Ports {
			port := p.Seed
			if !p.Exact {
				port = b.free(p.Seed, max(p.Count, 1))
			}
			b.given[u.Unit+"/"+p.Name] = port
		}
	}
}

// free takes the first ports in a row from a seed on; the seed itself when none are left.
func (b *portBook) free(seed, inARow int) int {
	for port := seed; port+inARow-1 <= lastPort; port++ {
		if !b.allFree(port, inARow) {
			continue
		}
		for i := range inARow {
			b.taken[port+i] = true
		}
		return port
	}
	return seed
}

func (b *portBook) allFree(port, inARow int) bool {
	for p := port; p < port+inARow; p++ {
		if b.taken[p] || p >= reservedFrom && p <= reservedTo {
			return false
		}
	}
	return true
}

var portPlaceholder = regexp.MustCompile(`\{port:([^{}]+)\}`)

// text puts the numbers of ports in place of their placeholders.
func (b *portBook) text(t actors.Text) string {
	if !t.Expand {
		return t.S
	}
	return portPlaceholder.ReplaceAllStringFunc(t.S, func(placeholder string) string {
		port, ok := b.given[portPlaceholder.FindStringSubmatch(placeholder)[1]]
		if !ok {
			return placeholder
		}
		return strconv.Itoa(port)
	})
}

// actors writes actors of a unit.
func (b *portBook) actors(out *Rendered, u actors.UnitTemplate, actors []actors.ActorTemplate) {
	for _, a := range actors {
		r := RenderedActor{
			Name:           a.Name,
			PlacementGroup: u.PlacementGroup.Name,
			Bundle:         a.Bundle,
			GPUs:           a.GPUs,
			Argv:           []string{},
			Env:            map[string]state.EnvValue{},
			RuntimeEnv:     a.RuntimeEnv,
		}
		for _, w := range a.Argv {
			r.Argv = append(r.Argv, b.text(w))
		}
		for _, v := range a.Env {
			r.Env[v.Name] = state.EnvValue{Value: b.text(v.Value), FromFile: v.FromFile, FromEnv: v.FromEnv}
		}
		out.Actors = append(out.Actors, r)
	}
}
