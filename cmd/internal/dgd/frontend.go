package dgd

import (
	"slices"
	"strconv"
	"strings"

	"dynctl/state"
)

const (
	envRouterMode   = "DYN_ROUTER_MODE"
	envRequestPlane = "DYN_REQUEST_PLANE"
	envEventPlane   = "DYN_EVENT_PLANE"
	envHTTPPort     = "DYN_HTTP_PORT"
	modeKV          = "kv"
)

// frontend takes in the component that speaks HTTP.
func (c *converter) frontend(comp component) {
	if c.frontends = append(c.frontends, comp.name); len(c.frontends) > 1 {
		c.note("%s: left out, for a Server has one frontend, which became that of %s", comp.name, c.frontends[0])
		return
	}
	cmd := c.command(comp, kindFrontend)
	if cmd.module != kindFrontend && len(comp.command) > 0 {
		c.note("%s: its command is left out, for it does not run python -m dynamo.frontend: %s", comp.name, strings.Join(comp.command, " "))
		cmd = command{}
	}
	if cmd.others {
		c.note("%s: its shell script runs other commands besides; only that of the frontend was read", comp.name)
	}
	c.launcher(comp.name, cmd)
	c.frontendEnv(comp, cmd.env)
	flags, stray := readFlags("", cmd.args)
	if len(stray) > 0 {
		c.note("%s: left out, for they belong to no flag: %s", comp.name, strings.Join(stray, " "))
	}
	for _, f := range flags {
		if cmd.unknownIn(f) {
			c.note("%s: --%s is left out: its value is known only when the pod starts (%s)", comp.name, f.name, f.first())
			continue
		}
		c.frontendFlag(comp, f)
	}
	if comp.replicas != nil && *comp.replicas != 1 {
		c.note("%s: its %d replicas became one frontend", comp.name, *comp.replicas)
	}
	c.secrets(comp)
	c.leftOut(comp.name, append(comp.left, comp.workersOnly()...))
}

// workersOnly are fields of a component that a spec has for workers alone.
func (c component) workersOnly() []string {
	var out []string
	for _, f := range []struct {
		name string
		said bool
	}{
		{"resources.gpu", c.gpus > 0},
		{"resources.cpu", c.cpus > 0},
		{"multinode", c.nodes > 1},
		{"startupProbe", c.startup > 0},
		{"terminationGracePeriodSeconds", c.grace > 0},
	} {
		if f.said {
			out = append(out, f.name)
		}
	}
	return out
}

// frontendEnv takes in its variables. They are the defaults of its flags, which are
// read after them, and win as they do in the program.
func (c *converter) frontendEnv(comp component, fromScript []envVar) {
	var rest []envVar
	var names []string
	for _, v := range slices.Concat(comp.env, fromScript) {
		f := flag{values: []string{v.Value}}
		switch {
		case v.ValueFrom != nil:
			rest = append(rest, v)
		case v.Name == envRouterMode:
			f.name = "router-mode"
		case v.Name == envRequestPlane:
			f.name = "request-plane"
		case v.Name == envEventPlane:
			f.name = "event-plane"
		case v.Name == envHTTPPort:
			f.name = "http-port"
		default:
			rest = append(rest, v)
		}
		if f.name != "" {
			c.frontendFlag(comp, f)
		}
	}
	before := len(c.server.Spec.Env)
	c.setEnv(&c.server.Spec.Env, rest, comp.name)
	for _, v := range rest {
		if _, ok := c.server.Spec.Env[v.Name]; ok && !slices.Contains(names, v.Name) {
			names = append(names, v.Name)
		}
	}
	if len(names) > 0 && len(c.server.Spec.Env) > before {
		c.note("%s: its variables became those of the Server, which its workers have too: %s", comp.name, strings.Join(names, ", "))
	}
}

func (c *converter) frontendFlag(comp component, f flag) {
	spec := &c.server.Spec
	switch f.name {
	case "http-port":
		if port, err := strconv.Atoi(c.one(comp.name, f)); err == nil {
			spec.Frontend.Port = port
		} else {
			c.note("%s: the port %q is left out, for it is no number", comp.name, f.first())
		}
	case "router-mode":
		spec.Router.Mode = c.one(comp.name, f)
	case "kv-events", "router-kv-events", "no-kv-events", "no-router-kv-events":
		c.saidEvents = true
		spec.Router.KVEvents = state.Tristate(strconv.FormatBool(!strings.HasPrefix(f.name, "no-")))
		if len(f.values) > 0 {
			c.note("%s: left out behind --%s, which takes no value: %s", comp.name, f.name, strings.Join(f.values, " "))
		}
	case "request-plane":
		c.set(&spec.RequestPlane, c.one(comp.name, f), "request plane", comp.name)
	case "event-plane":
		c.set(&spec.EventPlane, c.one(comp.name, f), "event plane", comp.name)
	case "namespace", "namespace-prefix", "discovery-backend", "http-host":
		c.note("%s: --%s is left out, for dynctl sets it itself", comp.name, f.name)
	default:
		dst := &spec.Frontend.Args
		if strings.HasPrefix(f.name, "router-") || strings.HasPrefix(f.name, "no-router-") {
			dst = &spec.Router.Args
		}
		c.add(dst, f, "frontend", comp.name)
	}
}

// add puts a flag among the arguments of a program.
func (c *converter) add(dst *state.Args, f flag, program, where string) {
	arg := f.arg()
	before, twice := dst.Get(arg.Key)
	switch {
	case twice && repeats(program, arg.Key):
		arg.Value = encoded(append(elements(before), elements(arg.Value)...))
	case twice:
		c.note("%s: --%s stands twice; the last one counts", where, f.name)
	}
	*dst = dst.With(arg.Key, arg.Value)
}

// router decides whether KV events are on, where the deployment routes by KV cache and
// leaves that to Dynamo: there they are whatever the workers do.
func (c *converter) router(workers []worker) {
	router := &c.server.Spec.Router
	publishing, silent, hybrid := byEvents(workers)
	disaggregated := c.disaggregatedModels()
	switch {
	case router.Mode == modeKV && len(hybrid) > 0:
		router.KVEvents = state.False
		c.note("%s: no KV events are published, for its hybrid KV cache manager is on; "+
			"to have them, remove disable_hybrid_kv_cache_manager: false and set spec.router.kvEvents of the Server to true", strings.Join(hybrid, ", "))
	case router.Mode == modeKV && !c.saidEvents:
		router.KVEvents = state.False
		if len(publishing) > 0 {
			router.KVEvents = state.True
		}
	case router.Mode != modeKV && len(publishing) > 0 && len(disaggregated) == 0:
		c.note("%s: that its workers publish KV events is left out, for the frontend does not route by KV cache; set spec.router.mode to kv to use them", strings.Join(publishing, ", "))
	case router.Mode == "" && len(disaggregated) > 0:
		c.note("the frontend names no router mode: disaggregated models (%s) are routed by KV cache here; "+
			"write spec.router.mode: round-robin in the Server to keep Dynamo's own way", strings.Join(disaggregated, ", "))
	}
	if router.Mode == modeKV && router.KVEvents == state.True && len(silent) > 0 {
		c.note("%s: its workers publish KV events now, which the router of the Server reads", strings.Join(silent, ", "))
	}
}

// byEvents are the names of the workers that publish KV events, of those that could,
// and of those that cannot, for their hybrid KV cache manager is on.
func byEvents(workers []worker) (publishing, silent, hybrid []string) {
	for _, w := range workers {
		prefill := w.role == state.RolePrefill
		switch v, ok := w.args.Get("disable_hybrid_kv_cache_manager"); {
		case (prefill || w.publishes) && ok && string(v) == "false":
			hybrid = append(hybrid, w.name)
		case w.role == state.RoleDecode:
		case w.publishes:
			publishing = append(publishing, w.name)
		default:
			silent = append(silent, w.name)
		}
	}
	return publishing, silent, hybrid
}

func (c *converter) disaggregatedModels() (served []string) {
	for _, m := range c.models {
		if m.Spec.Mode == state.ModeDisagg {
			served = append(served, m.Spec.ServedNameOrModel())
		}
	}
	return served
}
