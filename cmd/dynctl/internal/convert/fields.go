package convert

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"dynctl/cmd/internal/dgd"
	"dynctl/state"
)

// The fields of Curator's configuration. Router fields may stand beside a model as
// well: Curator routes per server, so they are the server's.
var (
	curatorModel = []string{
		"model_identifier", "model_name", "num_replicas", "mode", "engine_kwargs", "dynamo_kwargs", "prefill", "decode",
		"kv_events_config", "kv_transfer_config", "runtime_env",
	}
	curatorServer  = []string{"name", "port", "health_check_timeout_s"}
	curatorBackend = []string{
		"namespace", "request_plane", "event_plane", "etcd_endpoint", "nats_url", "subprocess_env", "runtime_env", "router",
	}
	curatorRouter = []string{"router_mode", "router_kv_events", "router_kwargs"}
	curatorRole   = []string{"num_replicas", "engine_kwargs"}
	curatorTop    = slices.Concat([]string{"models", "server", "backend"}, curatorServer, curatorBackend, curatorRouter)
)

// read takes in one file.
func (c *curatorSpecs) read(src File) error {
	docs, err := state.DecodeAny(src.Name, src.Data)
	if err != nil {
		return err
	}
	if len(docs) == 0 {
		return fmt.Errorf("%s is empty: want a Curator model, a list of models, models with server and backend, or a %s", src.Name, dgd.Kind)
	}
	if slices.ContainsFunc(docs, func(d state.Doc) bool { return kindOf(d.Raw).Kind == dgd.Kind }) {
		return c.graphFile(docs)
	}
	for _, doc := range docs {
		if err := c.document(doc.Raw, place{doc: doc}); err != nil {
			return err
		}
	}
	return nil
}

// document takes in a model, a list of models, or a whole server.
func (c *curatorSpecs) document(raw json.RawMessage, at place) error {
	if isList(raw) {
		return c.list(raw, at)
	}
	var probe map[string]json.RawMessage
	if err := json.Unmarshal(raw, &probe); err != nil {
		return at.errorf("want a Curator model, a list of models, or models with server and backend")
	}
	has := func(keys ...string) bool {
		return slices.ContainsFunc(keys, func(k string) bool { return probe[k] != nil })
	}
	switch {
	case has("apiVersion") || has("kind") && has("spec", "metadata"):
		return at.errorf("%s", whyNotConverted(kindOf(raw)))
	case len(probe) == 0:
		return at.errorf("there is nothing to convert: a model needs at least model_identifier")
	case has("model_identifier") || !has(curatorTop...) || has("model_name", "num_replicas", "engine_kwargs", "dynamo_kwargs"):
		return c.model(raw, at)
	}
	c.serverAt = at
	return fields(raw, at, c.topField)
}

// list takes in models, each of which says so.
func (c *curatorSpecs) list(raw json.RawMessage, at place) error {
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return at.errorf("%v", err)
	}
	for i, m := range list {
		if !isObject(m) {
			return at.item(i).errorf("want a model: a mapping with model_identifier")
		}
		if err := c.model(m, at.item(i)); err != nil {
			return err
		}
	}
	return nil
}

func (c *curatorSpecs) topField(key string, v json.RawMessage, at place) error {
	switch {
	case key == "models" && isList(v):
		return c.list(v, at)
	case key == "models" && isObject(v):
		return c.model(v, at)
	case key == "models":
		return at.errorf("want a list of models")
	case key == "server":
		return fields(v, at, c.serverField)
	case key == "backend":
		return fields(v, at, c.backendField)
	case slices.Contains(curatorServer, key):
		return c.serverField(key, v, at)
	case slices.Contains(curatorTop, key):
		return c.backendField(key, v, at)
	}
	return at.unknown(key, curatorTop)
}

func (c *curatorSpecs) serverField(key string, v json.RawMessage, at place) error {
	switch key {
	case "name":
		var name string
		if err := into(v, at, &name); err != nil {
			return err
		}
		c.server.Metadata.Name = objectName(name, "-")
		if c.server.Metadata.Name != name {
			c.note("server name %q became %q: names hold lower-case letters, digits and '-'", name, c.server.Metadata.Name)
		}
		c.explicit = true
		return nil
	case "port":
		c.explicit = true
		return into(v, at, &c.server.Spec.Frontend.Port)
	case "health_check_timeout_s":
		var seconds float64
		if err := into(v, at, &seconds); err != nil {
			return err
		}
		c.timeout = state.Duration(seconds * float64(time.Second))
		c.note("health_check_timeout_s became startupTimeout of each model")
		return nil
	}
	return at.unknown(key, curatorServer)
}

func (c *curatorSpecs) backendField(key string, v json.RawMessage, at place) error {
	spec := &c.server.Spec
	c.explicit = true
	switch key {
	case "namespace":
		return into(v, at, &spec.DynamoNamespace)
	case "request_plane":
		return into(v, at, &spec.RequestPlane)
	case "event_plane":
		return into(v, at, &spec.EventPlane)
	case "etcd_endpoint":
		return into(v, at, &spec.Etcd.Endpoint)
	case "nats_url":
		return into(v, at, &spec.NATS.URL)
	case "runtime_env":
		return into(v, at, &spec.RuntimeEnv)
	case "subprocess_env":
		return c.env(v, at)
	case "router":
		return fields(v, at, func(k string, v json.RawMessage, at place) error {
			return c.routerField("router_"+strings.TrimPrefix(k, "router_"), v, at)
		})
	}
	if !slices.Contains(curatorRouter, key) {
		return at.unknown(key, slices.Concat(curatorBackend, curatorRouter))
	}
	return c.routerField(key, v, at)
}

func (c *curatorSpecs) routerField(key string, v json.RawMessage, at place) error {
	router := &c.server.Spec.Router
	switch key {
	case "router_mode":
		return into(v, at, &router.Mode)
	case "router_kv_events":
		var on *bool
		if err := into(v, at, &on); err != nil || on == nil {
			return err
		}
		router.KVEvents = state.Tristate(strconv.FormatBool(*on))
		return nil
	case "router_kwargs":
		return kwargs(v, at, &router.Args)
	}
	return at.unknown(strings.TrimPrefix(key, "router_"), []string{"mode", "kv_events", "router_kwargs"})
}

// env leaves out the variables that Curator overrides itself.
func (c *curatorSpecs) env(v json.RawMessage, at place) error {
	return fields(v, at, func(key string, v json.RawMessage, at place) error {
		if state.ManagedVariable(key) || key == "FLASHINFER_WORKSPACE_BASE" {
			c.note("subprocess_env: %s is left out: Curator sets it itself, and so does dynctl", key)
			return nil
		}
		if c.server.Spec.Env == nil {
			c.server.Spec.Env = state.Env{}
		}
		var value string
		if err := into(v, at, &value); err != nil {
			return err
		}
		c.server.Spec.Env[key] = state.EnvValue{Value: value}
		return nil
	})
}

func (c *curatorSpecs) model(raw json.RawMessage, at place) error {
	m := state.Model{APIVersion: state.APIVersion, Kind: state.KindModel}
	err := fields(raw, at, func(key string, v json.RawMessage, at place) error {
		return c.modelField(&m.Spec, key, v, at)
	})
	if err != nil {
		return err
	}
	if m.Spec.Model == "" {
		return at.errorf("model_identifier is missing: name a hub id or a path, such as Qwen/Qwen3-8B")
	}
	if m.Spec.Mode == state.ModeDisagg && m.Spec.Replicas != nil {
		c.note("%s: num_replicas does not apply to mode disagg and is left out", m.Spec.Model)
		m.Spec.Replicas = nil
	}
	served := m.Spec.ServedName
	if served == "" {
		served = m.Spec.Model
	}
	m.Metadata.Name = c.uniqueName(served)
	c.models = append(c.models, m)
	c.modelsAt = append(c.modelsAt, at)
	return nil
}

func (c *curatorSpecs) modelField(spec *state.ModelSpec, key string, v json.RawMessage, at place) error {
	switch key {
	case "model_identifier":
		return into(v, at, &spec.Model)
	case "model_name":
		return into(v, at, &spec.ServedName)
	case "num_replicas":
		return into(v, at, &spec.Replicas)
	case "mode":
		return into(v, at, &spec.Mode)
	case "engine_kwargs":
		return kwargs(v, at, &spec.EngineArgs)
	case "dynamo_kwargs":
		return kwargs(v, at, &spec.DynamoArgs)
	case "kv_events_config":
		return kwargs(v, at, &spec.KVEventsConfig)
	case "kv_transfer_config":
		return kwargs(v, at, &spec.KVTransferConfig)
	case "runtime_env":
		return into(v, at, &spec.RuntimeEnv)
	case "prefill":
		return roleFields(&spec.Prefill, v, at)
	case "decode":
		return roleFields(&spec.Decode, v, at)
	}
	if slices.Contains(curatorBackend, key) || slices.Contains(curatorRouter, key) {
		return c.backendField(key, v, at)
	}
	return at.unknown(key, slices.Concat(curatorModel, curatorRouter))
}

func roleFields(dst **state.RoleSpec, raw json.RawMessage, at place) error {
	if string(raw) == "null" {
		return nil
	}
	role := &state.RoleSpec{}
	*dst = role
	return fields(raw, at, func(key string, v json.RawMessage, at place) error {
		switch key {
		case "num_replicas":
			return into(v, at, &role.Replicas)
		case "engine_kwargs":
			return kwargs(v, at, &role.EngineArgs)
		}
		return at.unknown(key, curatorRole)
	})
}

// uniqueName makes an object name of a served name: its last part, or all of it
// where that is taken.
func (c *curatorSpecs) uniqueName(served string) string {
	name := objectName(served[strings.LastIndex(served, "/")+1:], "-_.")
	if name == "" || c.names[name] {
		name = objectName(served, "-_.")
	}
	c.names[name] = true
	return name
}

// objectName lowers a text and turns what a name may not hold into dashes.
func objectName(s, punctuation string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune(punctuation, r) {
			return r
		}
		return '-'
	}, strings.ToLower(s))
	return strings.Trim(name[:min(len(name), 63)], "-_.")
}
