package dgd

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"dynctl/state"
)

// worker is one component that runs an engine.
type worker struct {
	component
	engine, model, served string
	args, dynamoArgs      state.Args
	vars                  state.Env
	kvTransfer, kvEvents  state.Args
	routerMode            string
	publishes             bool // KV events
}

// worker reads a component that serves a model; ok is false, and a note says why,
// where it cannot be told what it serves.
func (c *converter) worker(comp component) (w worker, ok bool) {
	cmd := c.command(comp, c.graph.Spec.BackendFramework)
	w = worker{component: comp, engine: engineOf(cmd.module)}
	switch {
	case w.engine == "" && cmd.module == "":
		c.note("%s: left out, for its command does not run python -m dynamo.vllm, dynamo.sglang, dynamo.trtllm or dynamo.mocker", comp.name)
		return w, false
	case w.engine == "":
		c.note("%s: left out, for dynctl has no engine dynamo.%s", comp.name, cmd.module)
		return w, false
	case cmd.others:
		c.note("%s: its shell script runs other commands besides; only that of the engine was read", comp.name)
	}
	c.launcher(comp.name, cmd)
	// Variables are the defaults of flags, which win as they do in the program.
	c.environment(&w, cmd.env)
	flags, stray := readFlags(w.engine, cmd.args)
	if len(stray) > 0 {
		c.note("%s: left out, for they belong to no flag: %s", comp.name, strings.Join(stray, " "))
	}
	for _, f := range c.writtenOut(&w, flags) {
		if cmd.unknownIn(f) {
			c.note("%s: --%s is left out: its value is known only when the pod starts (%s)", comp.name, f.name, strings.Join(f.values, " "))
			continue
		}
		c.workerFlag(&w, f)
	}
	if w.model == "" {
		c.note("%s: left out, for its command names no model (--model or --model-path)", comp.name)
		return w, false
	}
	if w.served == "" {
		w.served = w.model
	}
	c.leftOut(comp.name, comp.left)
	return w, true
}

// managed are the flags that dynctl gives each worker itself.
var managed = []string{
	"endpoint", "namespace", "discovery-backend", "nnodes", "node-rank", "master-addr", "master-port", "dist-init-addr", "headless",
	"router-kv-events", "no-router-kv-events", "data-parallel-address", "data-parallel-rpc-port", "data-parallel-start-rank",
}

// workerFlag takes in one flag of a worker.
func (c *converter) workerFlag(w *worker, f flag) {
	switch f.name {
	case "model", "model-path":
		w.model = c.one(w.name, f)
	case "served-model-name", "model-name":
		w.served = f.first()
		if len(f.values) > 1 {
			c.note("%s: a model has one served name; left out: %s", w.name, strings.Join(f.values[1:], ", "))
		}
	case "disaggregation-mode":
		w.role = c.one(w.name, f)
	case "is-prefill-worker":
		w.role = state.RolePrefill
	case "is-decode-worker":
		w.role = state.RoleDecode
	case "request-plane":
		c.set(&c.server.Spec.RequestPlane, c.one(w.name, f), "request plane", w.name)
	case "event-plane":
		c.set(&c.server.Spec.EventPlane, c.one(w.name, f), "event plane", w.name)
	case "router-mode":
		w.routerMode = c.one(w.name, f)
	case "connector":
		c.connector(w, f.values)
	case "kv-transfer-config":
		c.jsonFlag(w, f, &w.kvTransfer)
	case "kv-events-config":
		c.eventsFlag(w, f)
	case "publish-events-and-metrics", "publish-kv-events":
		w.publishes = true
	case "no-publish-kv-events":
	default:
		c.plainFlag(w, f)
	}
}

func (c *converter) plainFlag(w *worker, f flag) {
	if slices.Contains(managed, f.name) {
		c.note("%s: --%s is left out, for dynctl sets it itself", w.name, f.name)
		return
	}
	dst := &w.args
	if strings.HasPrefix(f.name, "dyn-") || strings.HasPrefix(f.name, "no-dyn-") {
		dst = &w.dynamoArgs
	}
	c.add(dst, f, w.engine, w.name)
}

// jsonFlag reads a flag whose value is a JSON object.
func (c *converter) jsonFlag(w *worker, f flag, dst *state.Args) {
	if err := json.Unmarshal([]byte(c.one(w.name, f)), dst); err != nil {
		c.note("%s: --%s is left out, for its value is not a JSON object: %s", w.name, f.name, strings.Join(f.values, " "))
	}
}

// eventsFlag keeps of the template what dynctl does not set: it chooses the port
// itself, and the router decides whether events are on.
func (c *converter) eventsFlag(w *worker, f flag) {
	c.jsonFlag(w, f, &w.kvEvents)
	on, said := w.kvEvents.Get("enable_kv_cache_events")
	// SGLang publishes wherever the flag stands, vLLM where it says so.
	w.publishes = string(on) == "true" || string(on) == `"true"` || !said && w.engine == state.EngineSGLang
	ours := []string{"publisher", "topic", "endpoint"}
	var set []string
	for _, x := range w.kvEvents {
		if slices.Contains(ours, x.Key) {
			set = append(set, x.Key+" "+string(x.Value))
		}
	}
	if len(set) > 0 {
		c.note("%s: of its KV events this is left out, for dynctl sets it itself: %s", w.name, strings.Join(set, ", "))
	}
	w.kvEvents = w.kvEvents.Without(append(ours, "enable_kv_cache_events")...)
}

// connectors are what --connector of Dynamo's earlier versions stood for.
var connectors = map[string]string{
	"nixl":    `{"kv_connector":"NixlConnector","kv_role":"kv_both"}`,
	"lmcache": `{"kv_connector":"LMCacheConnectorV1","kv_role":"kv_both"}`,
	"flexkv":  `{"kv_connector":"FlexKVConnectorV1","kv_role":"kv_both"}`,
	"kvbm":    `{"kv_connector":"DynamoConnector","kv_connector_module_path":"kvbm.vllm_integration.connector","kv_role":"kv_both"}`,
}

// connector turns --connector, which Dynamo 1.x refuses for vLLM, into the transfer
// config that it stood for; several are chained by Dynamo's PdConnector.
func (c *converter) connector(w *worker, names []string) {
	var parts []json.RawMessage
	for _, name := range names {
		switch part := connectors[strings.ToLower(name)]; {
		case part != "":
			parts = append(parts, json.RawMessage(part))
		case name != "none" && name != "null":
			c.note("%s: the connector %q of --connector is not known and is left out", w.name, name)
		}
	}
	text := ""
	switch len(parts) {
	case 0:
		return
	case 1:
		text = string(parts[0])
	default:
		text = `{"kv_connector":"PdConnector","kv_role":"kv_both","kv_connector_extra_config":{"connectors":` + string(encoded(parts)) +
			`},"kv_connector_module_path":"kvbm.vllm_integration.connector"}`
	}
	// The texts above are JSON objects.
	_ = json.Unmarshal([]byte(text), &w.kvTransfer)
	c.note("%s: --connector became kvTransferConfig, as Dynamo 1.x wants it", w.name)
}

// groups puts the workers of one model together, in the order of the document.
func groups(workers []worker) [][]worker {
	var out [][]worker
next:
	for _, w := range workers {
		for i, g := range out {
			if g[0].engine == w.engine && g[0].model == w.model && (g[0].served == w.served || pairs(g, w)) {
				out[i] = append(g, w)
				continue next
			}
		}
		out = append(out, []worker{w})
	}
	return out
}

// pairs reports whether a worker is the other role of a model that one of the two names:
// clients ask a decode worker by its name, so prefill workers are often given none.
func pairs(group []worker, w worker) bool {
	other := map[string]string{state.RolePrefill: state.RoleDecode, state.RoleDecode: state.RolePrefill}[w.role]
	return len(group) == 1 && other != "" && group[0].role == other && (w.served == w.model || group[0].served == group[0].model)
}

// model makes one model of the workers that serve it.
func (c *converter) model(group []worker) {
	var prefill, decode *worker
	for i := range group {
		w := &group[i]
		switch {
		case w.role == state.RolePrefill && prefill == nil:
			prefill = w
		case !slices.Contains([]string{"", "agg", "aggregated", state.RolePrefill, state.RoleDecode}, w.role):
			c.note("%s: left out, for dynctl has no workers of the kind %s", w.name, w.role)
		case w.role != state.RolePrefill && decode == nil:
			decode = w
		default:
			c.note("%s: left out, for %s serves the same model in the same role; raise its replicas instead", w.name, w.served)
		}
	}
	switch {
	case prefill != nil && decode != nil:
		c.disaggregated(prefill, decode)
	case decode != nil:
		if decode.role == state.RoleDecode {
			c.note("%s: became aggregated workers, for there is no prefill worker of %s", decode.name, decode.served)
		}
		c.aggregated(decode)
	case prefill != nil:
		c.note("%s: left out, for there is no decode worker of %s", prefill.name, prefill.served)
	}
}

func (c *converter) newModel(w *worker) Model {
	m := Model{Path: w.path}
	m.APIVersion, m.Kind = state.APIVersion, state.KindModel
	m.Spec = state.ModelSpec{
		Model: w.model, Engine: w.engine, StartupTimeout: w.startup, TerminationGracePeriod: w.grace,
		Router: state.ModelRouter{Mode: w.routerMode},
	}
	if w.served != w.model {
		m.Spec.ServedName = w.served
	}
	return m
}

func (c *converter) aggregated(w *worker) {
	m := c.newModel(w)
	s := &m.Spec
	s.Replicas = w.replicas
	s.EngineArgs, s.DynamoArgs, s.Env = w.args, w.dynamoArgs, w.vars
	s.KVEventsConfig, s.KVTransferConfig = w.kvEvents, w.kvTransfer
	s.Resources = c.resources(w, *s, state.RoleAggregated)
	c.models = append(c.models, m)
}

func (c *converter) disaggregated(prefill, decode *worker) {
	if decode.served == decode.model {
		decode.served = prefill.served
	}
	m := c.newModel(decode)
	s := &m.Spec
	s.Mode = state.ModeDisagg
	s.StartupTimeout = max(prefill.startup, decode.startup)
	s.TerminationGracePeriod = max(prefill.grace, decode.grace)
	s.Prefill, s.Decode = &state.RoleSpec{Replicas: orOne(prefill.replicas)}, &state.RoleSpec{Replicas: orOne(decode.replicas)}
	s.EngineArgs, s.Prefill.EngineArgs, s.Decode.EngineArgs = common(prefill.args, decode.args)
	s.DynamoArgs, s.Prefill.DynamoArgs, s.Decode.DynamoArgs = common(prefill.dynamoArgs, decode.dynamoArgs)
	s.Env, s.Prefill.Env, s.Decode.Env = commonEnv(prefill.vars, decode.vars)
	s.Prefill.KVEventsConfig = prefill.kvEvents
	if decode.publishes || len(decode.kvEvents) > 0 {
		c.note("%s: its KV events are left out, for decode workers publish none", decode.name)
	}
	if prefill.routerMode != decode.routerMode {
		c.note("%s: the router mode of %s (%s) is left out, for a model has one: %s", prefill.name, prefill.name, orNone(prefill.routerMode), orNone(decode.routerMode))
	}
	if equalArgs(prefill.kvTransfer, decode.kvTransfer) {
		s.KVTransferConfig = decode.kvTransfer
	} else {
		s.Prefill.KVTransferConfig, s.Decode.KVTransferConfig = prefill.kvTransfer, decode.kvTransfer
	}
	s.Prefill.Resources = c.resources(prefill, *s, state.RolePrefill)
	s.Decode.Resources = c.resources(decode, *s, state.RoleDecode)
	for _, w := range []*worker{prefill, decode} {
		if w.nodes > 1 {
			c.note("%s: its workers span %d nodes of %d GPUs; here a disaggregated worker has to fit one node", w.name, w.nodes, w.gpus)
		}
	}
	c.models = append(c.models, m)
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

func orOne(n *int) *int {
	if n == nil {
		one := 1
		return &one
	}
	return n
}

func equalArgs(a, b state.Args) bool { return string(encoded(a)) == string(encoded(b)) }

// resources says how many GPUs a worker has, where its arguments say otherwise or
// nothing, and its CPUs.
func (c *converter) resources(w *worker, spec state.ModelSpec, role string) state.ResourcesSpec {
	var out state.ResourcesSpec
	if total := w.gpus * w.nodes; total > 0 {
		if counted, err := spec.GPUsPerWorker(role); err != nil || counted != total {
			out.GPUs = &total
			c.note("%s: resources.gpus is %s, what its pods ask for", w.name, strconv.Itoa(total))
		}
	}
	if w.nodes > 1 && role == state.RoleAggregated {
		c.note("%s: that its workers span %d nodes is left out, for dynctl spreads one over as few as hold its GPUs", w.name, w.nodes)
	}
	if w.cpus > 0 {
		out.CPUs = &w.cpus
	}
	return out
}
