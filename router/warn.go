package router

import (
	"encoding/json"
	"slices"

	"dynctl/state"
)

// Warn returns what a valid model says of routing and what has no effect on its
// server. The key is left to the caller.
func Warn(r state.ServerRouter, m Model) []state.Warning {
	return append(warnEvents(r, m), warnArgs(r, m)...)
}

// warnEvents is Warn for KV events.
func warnEvents(r state.ServerRouter, m Model) []state.Warning {
	role := publisher(m.Spec)
	template := m.Spec.RoleKVEvents(role)
	if len(template) == 0 {
		return nil
	}
	field := "spec.kvEventsConfig"
	if own := m.Spec.Role(role); own != nil && len(m.Spec.KVEventsConfig) == 0 {
		field = "spec." + role + ".kvEventsConfig"
	}
	if !Publishes(r, m, role) {
		return unpublished(m.Spec.HybridKVCache(role), field, template)
	}
	return overridden(m.Spec, role, template)
}

// unpublished tells of a template for workers that publish nothing. One that says
// just that is what it says.
func unpublished(hybrid bool, field string, template state.Args) []state.Warning {
	if !slices.ContainsFunc(template, func(a state.Arg) bool { return a.Key != state.KeyEnableKVEvents }) {
		return nil
	}
	message := "no router reads the KV events of these workers, so it does nothing; set spec.router to {mode: kv, kvEvents: true}, or remove it"
	if hybrid {
		message = "workers with the hybrid KV cache manager publish no KV events, so it does nothing; remove it, or disable_hybrid_kv_cache_manager: false"
	}
	return []state.Warning{{Path: field, Message: message}}
}

// managedKeys are the keys of --kv-events-config that dynctl sets where workers
// publish, with what it sets them to.
var managedKeys = []struct{ key, value, message string }{
	{"publisher", `"zmq"`, "dynctl sets it to zmq, which the router listens to; remove it"},
	{"topic", `"kv-events"`, "dynctl sets it to kv-events, which the router listens to; remove it"},
	{"endpoint", "", "dynctl finds a port for each worker itself; remove it"},
	{state.KeyEnableKVEvents, "true", "these workers publish KV events whatever it says; remove it, and set router.kvEvents to false to have the router not read them"},
}

// overridden tells of the keys of a template that workers that publish do not get.
func overridden(m state.ModelSpec, role string, template state.Args) []state.Warning {
	var out []state.Warning
	for _, k := range managedKeys {
		if v, ok := template.Get(k.key); ok && string(v) != k.value && !sameText(v, k.value) {
			out = append(out, state.Warning{Path: m.KVEventsPath(role, k.key), Message: k.message})
		}
	}
	return out
}

// sameText reports whether two JSON values are one text, however it is escaped.
func sameText(a json.RawMessage, b string) bool {
	var x, y string
	return json.Unmarshal(a, &x) == nil && json.Unmarshal([]byte(b), &y) == nil && x == y
}

// WarnServer returns what a valid server says of routing and what has no effect on
// its accepted models. The key is left to the caller.
func WarnServer(r state.ServerRouter, models []Model) []state.Warning {
	if r.KVEvents != state.True || serverMode(r) != "" {
		return nil
	}
	if slices.ContainsFunc(models, func(m Model) bool { return m.Spec.Mode == state.ModeDisagg }) {
		return nil
	}
	return []state.Warning{{
		Path:    "spec.router.kvEvents",
		Message: "no model is disaggregated, so the automatic mode is not kv and nothing reads KV events; set spec.router.mode to kv to have it count now",
	}}
}
