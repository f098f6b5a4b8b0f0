package policy

import (
	"fmt"

	"dynctl/state"
)

// Usage is what models of a server hold together.
type Usage struct{ GPUs, Models int }

// UsageOf is what one model holds: the GPUs of all its replicas, none while it is
// suspended. What a roll needs besides is not counted.
func UsageOf(m state.Model) Usage {
	u := Usage{Models: 1}
	if m.Spec.Suspend {
		return u
	}
	for _, role := range m.Spec.Roles() {
		gpus, err := m.Spec.GPUsPerWorker(role)
		if err != nil {
			continue // it is not valid, and does not get here
		}
		u.GPUs += gpus * replicas(m.Spec, role)
	}
	return u
}

// Add is both together.
func (u Usage) Add(v Usage) Usage { return Usage{u.GPUs + v.GPUs, u.Models + v.Models} }

// Sub is u without v.
func (u Usage) Sub(v Usage) Usage { return Usage{u.GPUs - v.GPUs, u.Models - v.Models} }

func replicas(m state.ModelSpec, role string) int {
	n := m.Replicas
	if r := m.Role(role); r != nil {
		n = r.Replicas
	}
	if n == nil {
		return 1
	}
	return *n
}

// HasLimits reports whether [Policy.Room] has something to say.
func (p *Policy) HasLimits() bool {
	return p != nil && (p.Limits.GPUs != nil || p.Limits.Models != nil)
}

// Room says why a model is too much for its server, beside the others and in the place
// of what was accepted of it before, the zero Usage if nothing was. What asks for no
// more than before is never too much.
func (p *Policy) Room(asks, before, others Usage) []Denial {
	if p == nil {
		return nil
	}
	var out []Denial
	if most := p.Limits.Models; most != nil && before.Models == 0 && others.Models+1 > *most {
		out = append(out, Denial{Path: "metadata.server", Rule: fmt.Sprintf("limits.models %d", *most), Message: fmt.Sprintf(
			"its server has %s already, and no more than %d may be; delete one, or have the limit raised", state.Counted(others.Models, "model"), *most)})
	}
	if most := p.Limits.GPUs; most != nil && asks.GPUs > before.GPUs && others.GPUs+asks.GPUs > *most {
		out = append(out, Denial{Path: "spec.resources.gpus", Rule: fmt.Sprintf("limits.gpus %d", *most), Message: fmt.Sprintf(
			"its replicas take %s, and those of the server's other models %d: no more than %d may be taken; ask for fewer, or have the limit raised",
			state.Counted(asks.GPUs, "GPU"), others.GPUs, *most)})
	}
	return out
}

// Over says by how much a server that was filled before is past the limits.
func (p *Policy) Over(all Usage) []Denial {
	if p == nil {
		return nil
	}
	var out []Denial
	if most := p.Limits.Models; most != nil && all.Models > *most {
		out = append(out, Denial{Rule: fmt.Sprintf("limits.models %d", *most), Message: fmt.Sprintf("it has %s, and no more than %d may be", state.Counted(all.Models, "model"), *most)})
	}
	if most := p.Limits.GPUs; most != nil && all.GPUs > *most {
		out = append(out, Denial{Rule: fmt.Sprintf("limits.gpus %d", *most), Message: fmt.Sprintf(
			"its models take %s, and no more than %d may be taken", state.Counted(all.GPUs, "GPU"), *most)})
	}
	return out
}
