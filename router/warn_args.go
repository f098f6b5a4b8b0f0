package router

import (
	"fmt"
	"strings"

	"dynctl/state"
)

// A model card with a routing replaces the frontend's whole, with all its arguments;
// and no router but kv reads the arguments of the kv router.

// warnArgs tells of the routing arguments of a model that no router reads.
func warnArgs(r state.ServerRouter, m Model) []state.Warning {
	var out []state.Warning
	for _, x := range m.Spec.RoutingArgs() {
		own, invalid := ForModel(r, m)
		message := ""
		switch {
		case invalid != nil:
		case own.Mode == "":
			message = fmt.Sprintf("--%s counts where a model carries a routing of its own, and this one follows the frontend; "+
				"set spec.router.mode, or write it in the server's spec.router.args", x.Name)
		case x.KV && own.Mode != state.RouterKV:
			message = fmt.Sprintf("only the kv router reads --%s, and the mode of this model is %s; remove it, or set spec.router.mode to kv", x.Name, own.Mode)
		}
		if message != "" {
			out = append(out, state.Warning{Path: x.Path, Message: message})
		}
	}
	return out
}

// WarnServerArgs returns the routing arguments of a valid server that do not count, or
// not for all of its accepted models. The key is left to the caller.
func WarnServerArgs(s state.ServerSpec, models []Model) []state.Warning {
	d := ForFrontend(s.Router, models)
	var carry []string
	for _, m := range models {
		if own, invalid := ForModel(s.Router, m); invalid == nil && own.Mode != "" {
			carry = append(carry, m.Name)
		}
	}
	var out []state.Warning
	for _, x := range s.RoutingArgs() {
		if message := uncounted(x, d, carry); message != "" {
			out = append(out, state.Warning{Path: x.Path, Message: message})
		}
	}
	return out
}

// uncounted says why a routing argument of the frontend does not count; empty where it
// does. carry are the models that carry a routing of their own.
func uncounted(x state.RoutingArg, d Decision, carry []string) string {
	const most = 5
	names := strings.Join(carry[:min(len(carry), most)], ", ")
	if len(carry) > most {
		names += fmt.Sprintf(" and %d more", len(carry)-most)
	}
	const way = "write it in the dynamoArgs of the models, or have the frontend route them: spec.router.mode: kv here, and no router.mode in the models"
	switch {
	case x.Name == state.FlagLoadAware && d.Mode != state.RouterKV:
		return "it has the frontend route by kv, beside what spec.router.mode says; set the mode to kv"
	case len(carry) > 0:
		return fmt.Sprintf("--%s does not count for %s, whose workers carry a routing of their own, with its arguments; %s", x.Name, names, way)
	case x.KV && d.Mode != state.RouterKV:
		return fmt.Sprintf("only the kv router reads --%s, and the frontend's mode is %s; set spec.router.mode to kv, or remove it", x.Name, modeText(d.Mode, false))
	}
	return ""
}
