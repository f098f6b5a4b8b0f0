package router

import (
	"fmt"

	"dynctl/state"
)

// Check returns the first routing rule that a model breaks on its server, in this
// order:
//
//  1. it says kvEvents true where its mode is not kv;
//  2. KV events are asked for explicitly, by its router, its server's or its
//     kvEventsConfig, of a worker that runs the hybrid KV cache manager;
//  3. its kvEventsConfig asks for KV events that no router reads.
func Check(r state.ServerRouter, m Model) *state.Invalid {
	w := wantedOf(r, m)
	if m.Spec.Router.KVEvents == state.True && w.mode != state.RouterKV { // rule 1
		return &state.Invalid{
			Reason: state.ReasonKVEventsWithoutKV,
			Path:   "spec.router.kvEvents",
			Message: fmt.Sprintf("only the kv router reads KV events, and the mode of this model is %s; set spec.router.mode to kv, or kvEvents to auto",
				modeText(w.mode, false)),
		}
	}
	role := publisher(m.Spec)
	by := w.asked()
	template, _ := state.EnablesKVEvents(m.Spec.RoleKVEvents(role))
	if by == "" && template {
		by = "kvEventsConfig"
	}
	if by != "" && m.Spec.HybridKVCache(role) { // rule 2
		return &state.Invalid{
			Reason: state.ReasonHybridCacheConflict,
			Path:   m.Spec.HybridKVCachePath(role),
			Message: fmt.Sprintf("%s asks for KV events, which a worker with the hybrid KV cache manager cannot publish; remove this argument, or set kvEvents to false in %s",
				by, w.where()),
		}
	}
	if template && !w.events { // rule 3
		return &state.Invalid{
			Reason: state.ReasonKVEventsUnread,
			Path:   m.Spec.KVEventsPath(role, state.KeyEnableKVEvents),
			Message: fmt.Sprintf("no router reads these KV events, since the mode of this model is %s; set spec.router to {mode: kv, kvEvents: true}, or remove this key",
				modeText(w.mode, false)),
		}
	}
	return nil
}

// publisher is the role whose workers publish KV events, where any do.
func publisher(m state.ModelSpec) string {
	if m.Mode == state.ModeDisagg {
		return state.RolePrefill
	}
	return state.RoleAggregated
}

// wanted is the routing that holds for one model as far as its own spec and its
// server's tell.
type wanted struct {
	mode   string
	events bool // a router reads its KV events
	source string
	// explicit: somebody said whether it does.
	explicit bool
}

// asked names the spec that asks for KV events in so many words; empty where none
// does.
func (w wanted) asked() string {
	if !w.events || !w.explicit {
		return ""
	}
	return w.where()
}

// where names the spec that decides about KV events.
func (w wanted) where() string {
	if w.source == SourceModel {
		return "spec.router"
	}
	return "its server's spec.router"
}

func wantedOf(r state.ServerRouter, m Model) wanted {
	own := m.Spec.Router
	if mode := state.NormalizeRouterMode(own.Mode); mode != "" && mode != state.RouterInherit {
		return wanted{mode, mode == state.RouterKV && own.KVEvents == state.True, SourceModel, own.KVEvents.Explicit()}
	}
	w := wanted{source: SourceAuto}
	if mode := serverMode(r); mode != "" {
		w = wanted{mode, mode == state.RouterKV && r.KVEvents == state.True, SourceServer, r.KVEvents.Explicit()}
	} else if m.Spec.Mode == state.ModeDisagg {
		d := Resolve(r, []Model{m})
		w = wanted{d.Mode, d.KVEvents, SourceAuto, r.KVEvents.Explicit()}
	}
	if own.KVEvents.Explicit() && w.mode == state.RouterKV {
		return wanted{w.mode, own.KVEvents == state.True, SourceModel, true}
	}
	return w
}
