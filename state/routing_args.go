package state

import (
	"slices"
	"strings"

	"dynctl/state/engineflags"
)

// RoutingArg is an argument that tells a router how to route.
type RoutingArg struct {
	// Path is where it is written, Name the flag that it sets, without dashes.
	Path, Name string
	// KV: no router but the kv one reads it.
	KV bool
}

// Flags of Dynamo's routers: those of every router, and those of the kv router beside
// the ones that begin with --router-.
var (
	anyRouterFlags = []string{
		"router-session-affinity-ttl-secs", "router-session-affinity-mode",
		"active-decode-blocks-threshold", "active-prefill-tokens-threshold", "active-prefill-tokens-threshold-frac",
	}
	kvRouterFlags = []string{"load-aware", "use-remote-indexer", "enable-session-prefix-index", "shared-cache-multiplier", "shared-cache-type"}
	// Neither of these says how requests are routed.
	otherRouterFlags = []string{"router-min-initial-workers", "router-mode", "router-kv-events"}
)

// FlagLoadAware is the flag that has the frontend route by kv, without KV events,
// whatever its mode is.
const FlagLoadAware = "load-aware"

// RoutingArgs are those of the frontend of a server.
func (s ServerSpec) RoutingArgs() []RoutingArg {
	table := frontendTable(s, nil)
	var out []RoutingArg
	for _, field := range s.argFields() {
		for _, x := range field.args {
			out = appendRouting(out, table, commandArg{x, field.path + "." + x.Key})
		}
	}
	return out
}

// RoutingArgs are those of a model's workers, each place once.
func (m ModelSpec) RoutingArgs() []RoutingArg {
	var out []RoutingArg
	for _, role := range m.Roles() {
		for _, x := range m.commandArgs(role) {
			if !slices.ContainsFunc(out, func(r RoutingArg) bool { return r.Path == x.path }) {
				out = appendRouting(out, engineflags.Recorded(m.Engine), x)
			}
		}
	}
	return out
}

func appendRouting(out []RoutingArg, table *engineflags.Table, x commandArg) []RoutingArg {
	found, ok := table.Find(x.Key)
	if !ok || found.Ambiguous != nil || isNull(x.Value) || string(x.Value) == "false" && found.Name() == FlagLoadAware {
		return out
	}
	name := found.Name()
	switch {
	case slices.Contains(otherRouterFlags, name):
	case slices.Contains(anyRouterFlags, name):
		return append(out, RoutingArg{Path: x.path, Name: name})
	case strings.HasPrefix(name, "router-"), slices.Contains(kvRouterFlags, name):
		return append(out, RoutingArg{Path: x.path, Name: name, KV: true})
	}
	return out
}

// loadAware adds a fault where an argument has the frontend route otherwise than the
// server's router says.
func (f *faults) loadAware(s ServerSpec) {
	for _, x := range s.RoutingArgs() {
		switch mode := NormalizeRouterMode(s.Router.Mode); {
		case x.Name != FlagLoadAware:
		case mode != RouterAuto && mode != RouterKV:
			f.add(ReasonInvalidArgument, x.Path, "--%s has the frontend route by kv, and spec.router.mode says %s; remove it, or set the mode to kv", x.Name, mode)
		case s.Router.KVEvents == True:
			f.add(ReasonInvalidArgument, x.Path, "--%s has the kv router read no KV events, and spec.router.kvEvents says true; remove one of them", x.Name)
		}
	}
}
