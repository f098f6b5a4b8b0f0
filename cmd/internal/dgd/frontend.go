package dgd

import (
	"strconv"
	"strings"

	"dynctl/state"
)

const (
	envRouterMode   = "DYN_ROUTER_MODE"
	envRequestPlane = "DYN_REQUEST_PLANE"
	modeKV          = "kv"
)

// frontend takes in the component that speaks HTTP.
func (c *converter) frontend(comp component) {
	cmd := readCommand(comp.command, "frontend", known(c.graph.environment(), comp.env))
	flags, _ := readFlags("", cmd.args)
	for _, f := range flags {
		if cmd.unknownIn(f) {
			c.note("%s: --%s is left out: its value is known only when the pod starts (%s)", comp.name, f.name, f.first())
			continue
		}
		c.frontendFlag(comp, f)
	}
	if comp.replicas != nil && *comp.replicas > 1 {
		c.note("%s: its %d replicas became one frontend", comp.name, *comp.replicas)
	}
	var rest []envVar
	for _, v := range append(cmd.env, comp.env...) {
		switch v.Name {
		case envRouterMode:
			c.server.Spec.Router.Mode = v.Value
		case envRequestPlane:
			c.server.Spec.RequestPlane = v.Value
		default:
			rest = append(rest, v)
		}
	}
	c.setEnv(&c.server.Spec.Env, rest, comp.name)
	c.secrets(comp)
	c.leftOut(comp.name, comp.left)
}

func (c *converter) frontendFlag(comp component, f flag) {
	spec := &c.server.Spec
	switch f.name {
	case "http-port":
		if port, err := strconv.Atoi(f.first()); err == nil {
			spec.Frontend.Port = port
		}
	case "router-mode":
		spec.Router.Mode = f.first()
	case "kv-events", "router-kv-events", "no-kv-events", "no-router-kv-events":
		c.saidEvents = true
		spec.Router.KVEvents = state.Tristate(strconv.FormatBool(!strings.HasPrefix(f.name, "no-")))
	case "request-plane":
		spec.RequestPlane = f.first()
	case "namespace", "namespace-prefix", "discovery-backend", "event-plane", "http-host":
		c.note("%s: --%s is left out, for dynctl sets it itself", comp.name, f.name)
	default:
		dst := &spec.Frontend.Args
		if strings.HasPrefix(f.name, "router-") || strings.HasPrefix(f.name, "no-router-") {
			dst = &spec.Router.Args
		}
		arg := f.arg()
		*dst = dst.With(arg.Key, arg.Value)
	}
}

// router says whether KV events are on, where the deployment routes by KV cache and
// leaves that to Dynamo: there they are whatever the workers do.
func (c *converter) router(workers []worker) {
	router := &c.server.Spec.Router
	var publishing, disaggregated []string
	for _, w := range workers {
		if w.publishes {
			publishing = append(publishing, w.name)
		}
	}
	for _, m := range c.models {
		if m.Spec.Mode == state.ModeDisagg {
			disaggregated = append(disaggregated, m.Spec.ServedNameOrModel())
		}
	}
	switch {
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
}
