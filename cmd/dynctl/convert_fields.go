package main

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"dynctl/state"
)

// read takes in one file.
func (c *curatorSpecs) read(src source) error {
	docs, err := src.documents()
	if err != nil {
		return err
	}
	for _, doc := range docs {
		if err := c.document(doc, src.name); err != nil {
			return err
		}
	}
	return nil
}

func (c *curatorSpecs) document(doc json.RawMessage, where string) error {
	if len(doc) > 0 && doc[0] == '[' {
		var list []json.RawMessage
		if err := json.Unmarshal(doc, &list); err != nil {
			return usageErr("%s: %v", where, err)
		}
		for _, m := range list {
			if err := c.document(m, where); err != nil {
				return err
			}
		}
		return nil
	}
	var probe map[string]json.RawMessage
	if err := json.Unmarshal(doc, &probe); err != nil {
		return usageErr("%s: want a Curator model, a list of models, or models with server and backend", where)
	}
	if _, ok := probe["model_identifier"]; ok {
		return c.model(doc, where)
	}
	return fields(doc, where, func(key string, v json.RawMessage) error {
		switch key {
		case "models":
			return c.document(v, where+": models")
		case "server":
			return fields(v, where+": server", func(k string, v json.RawMessage) error {
				return c.serverField(k, v, where+": server."+k)
			})
		case "backend":
			return fields(v, where+": backend", func(k string, v json.RawMessage) error {
				return c.backendField(k, v, where+": backend."+k)
			})
		case "name", "port", "health_check_timeout_s":
			return c.serverField(key, v, where+": "+key)
		}
		return c.backendField(key, v, where+": "+key)
	})
}

func (c *curatorSpecs) serverField(key string, v json.RawMessage, where string) error {
	switch key {
	case "name":
		var name string
		if err := into(v, where, &name); err != nil {
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
		return into(v, where, &c.server.Spec.Frontend.Port)
	case "health_check_timeout_s":
		var seconds float64
		if err := into(v, where, &seconds); err != nil {
			return err
		}
		c.timeout = state.Duration(seconds * float64(time.Second))
		c.note("health_check_timeout_s became startupTimeout of each model")
		return nil
	}
	return usageErr("%s: unknown field; known are name, port, health_check_timeout_s", where)
}

func (c *curatorSpecs) backendField(key string, v json.RawMessage, where string) error {
	spec := &c.server.Spec
	c.explicit = true
	switch key {
	case "namespace":
		return into(v, where, &spec.DynamoNamespace)
	case "request_plane":
		return into(v, where, &spec.RequestPlane)
	case "event_plane":
		return into(v, where, &spec.EventPlane)
	case "etcd_endpoint":
		return into(v, where, &spec.Etcd.Endpoint)
	case "nats_url":
		return into(v, where, &spec.NATS.URL)
	case "runtime_env":
		return into(v, where, &spec.RuntimeEnv)
	case "subprocess_env":
		return c.env(v, where)
	case "router":
		return fields(v, where, func(k string, v json.RawMessage) error {
			return c.routerField("router_"+strings.TrimPrefix(k, "router_"), v, where+"."+k)
		})
	}
	return c.routerField(key, v, where)
}

func (c *curatorSpecs) routerField(key string, v json.RawMessage, where string) error {
	router := &c.server.Spec.Router
	switch key {
	case "router_mode":
		return into(v, where, &router.Mode)
	case "router_kv_events":
		var on *bool
		if err := into(v, where, &on); err != nil || on == nil {
			return err
		}
		router.KVEvents = state.Tristate(strconv.FormatBool(*on))
		return nil
	case "router_kwargs":
		return kwargs(v, where, &router.Args)
	}
	return usageErr("%s: unknown field; see %q", where, "dynctl convert --help")
}

// env leaves out the variables that Curator overrides itself: so does dynctl.
func (c *curatorSpecs) env(v json.RawMessage, where string) error {
	return fields(v, where, func(key string, v json.RawMessage) error {
		if c.server.Spec.Env == nil {
			c.server.Spec.Env = state.Env{}
		}
		var value string
		if err := into(v, where+"."+key, &value); err != nil {
			return err
		}
		c.server.Spec.Env[key] = state.EnvValue{Value: value}
		return nil
	})
}

func (c *curatorSpecs) model(doc json.RawMessage, where string) error {
	m := state.Model{APIVersion: state.APIVersion, Kind: state.KindModel}
	err := fields(doc, where, func(key string, v json.RawMessage) error {
		return c.modelField(&m.Spec, key, v, where+": "+key)
	})
	if err != nil {
		return err
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
	return nil
}

func (c *curatorSpecs) modelField(spec *state.ModelSpec, key string, v json.RawMessage, where string) error {
	switch key {
	case "model_identifier":
		return into(v, where, &spec.Model)
	case "model_name":
		return into(v, where, &spec.ServedName)
	case "num_replicas":
		return into(v, where, &spec.Replicas)
	case "mode":
		return into(v, where, &spec.Mode)
	case "engine_kwargs":
		return kwargs(v, where, &spec.EngineArgs)
	case "dynamo_kwargs":
		return kwargs(v, where, &spec.DynamoArgs)
	case "kv_events_config":
		return kwargs(v, where, &spec.KVEventsConfig)
	case "kv_transfer_config":
		return kwargs(v, where, &spec.KVTransferConfig)
	case "runtime_env":
		return into(v, where, &spec.RuntimeEnv)
	case "prefill":
		return roleFields(&spec.Prefill, v, where)
	case "decode":
		return roleFields(&spec.Decode, v, where)
	}
	// Curator routes per server, so a router beside a model is the server's.
	return c.backendField(key, v, where)
}

func roleFields(dst **state.RoleSpec, raw json.RawMessage, where string) error {
	if string(raw) == "null" {
		return nil
	}
	role := &state.RoleSpec{}
	*dst = role
	return fields(raw, where, func(key string, v json.RawMessage) error {
		switch key {
		case "num_replicas":
			return into(v, where+"."+key, &role.Replicas)
		case "engine_kwargs":
			return kwargs(v, where+"."+key, &role.EngineArgs)
		}
		return usageErr("%s.%s: unknown field; known are num_replicas, engine_kwargs", where, key)
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
