package render

import (
	"encoding/json"
	"slices"
	"strings"

	"dynctl/actors"
	"dynctl/router"
	"dynctl/state"
	"dynctl/state/engineflags"
)

// How the ranks of a worker on several nodes are told.
const (
	ranksVLLM   = "vllm"   // --nnodes --node-rank --master-addr --master-port
	ranksSGLang = "sglang" // --nnodes --node-rank --dist-init-addr
	ranksRank0  = "rank0"  // only rank 0 runs
)

// defaultKVTransfer connects prefill and decode where the spec names no connector.
var defaultKVTransfer = state.Args{
	{Key: "kv_connector", Value: json.RawMessage(`"NixlConnector"`)},
	{Key: "kv_role", Value: json.RawMessage(`"kv_both"`)},
}

// command is what the command line of one role is made of.
type command struct {
	spec      state.ModelSpec
	role      string
	table     *engineflags.Table
	endpoint  string
	planes    []string
	router    router.Decision
	publishes bool
}

// head is the command line of rank 0 up to the rank flags.
func (c command) head() []actors.Text {
	words := []actors.Text{actors.Exp("{py}")}
	words = append(words, lits("-m", "dynamo."+c.spec.Engine)...)
	model, served := "--model", "--served-model-name"
	if c.spec.Engine == state.EngineMocker {
		model, served = "--model-path", "--model-name"
	}
	words = append(words, lits(model, c.spec.Model, served, c.spec.ServedNameOrModel(), "--endpoint", c.endpoint)...)
	words = append(words, lits(c.planes...)...)
	if c.router.Mode != "" {
		words = append(words, lits("--router-mode", c.router.Mode, kvEventsFlag(c.router.KVEvents))...)
	}
	if c.role != state.RoleAggregated {
		words = append(words, lits("--disaggregation-mode", c.role)...)
	}
	words = append(words, c.kvTransferFlags()...)
	return append(words, c.kvEvents()...)
}

// headless is the command line of the ranks above 0 of a vllm worker up to the
// rank flags; nil for the other engines.
func (c command) headless() []actors.Text {
	if c.spec.Engine != state.EngineVLLM || c.role != state.RoleAggregated {
		return nil
	}
	words := []actors.Text{actors.Exp("{py}")}
	words = append(words, lits("-m", "dynamo."+c.spec.Engine, "--model", c.spec.Model, "--headless")...)
	words = append(words, c.kvTransferFlags()...)
	c.publishes = false
	return append(words, c.kvEvents()...)
}

// tail is the command line after the rank flags.
func (c command) tail() []actors.Text {
	args := slices.Concat(c.spec.RoleArgs(c.role), c.spec.RoleDynamoArgs(c.role))
	if c.spec.Engine == state.EngineMocker {
		// They shape the placement; the mocker has no such flags.
		args = slices.DeleteFunc(args, func(a state.Arg) bool { return state.ParallelFlag(c.spec.Engine, a.Key) })
	}
	return lits(Flags(args, c.table)...)
}

// kvTransfer is the worker's connector: what the spec says, else the default where
// prefill and decode need one. Only vllm takes one.
func (c command) kvTransfer() state.Args {
	if c.spec.Engine != state.EngineVLLM {
		return nil
	}
	if own := c.spec.RoleKVTransfer(c.role); len(own) > 0 || c.role == state.RoleAggregated {
		return own
	}
	return defaultKVTransfer
}

func (c command) kvTransferFlags() []actors.Text {
	config := c.kvTransfer()
	if len(config) == 0 {
		return nil
	}
	return lits("--kv-transfer-config", objectText(config))
}

// kvEvents are the arguments by which the worker publishes KV events or not, as its engine spells them.
func (c command) kvEvents() []actors.Text {
	switch c.spec.Engine {
	case state.EngineVLLM:
		if !c.publishes && c.spec.HybridKVCache(c.role) {
			return nil
		}
		return []actors.Text{actors.Lit("--kv-events-config"), KVEventsConfig(c.spec.RoleKVEvents(c.role), c.publishes)}
	case state.EngineSGLang:
		if !c.publishes {
			return nil
		}
		return []actors.Text{actors.Lit("--kv-events-config"), KVEventsConfig(c.spec.RoleKVEvents(c.role), true)}
	case state.EngineTRTLLM:
		if c.publishes {
			return lits("--publish-kv-events")
		}
		return lits("--no-publish-kv-events")
	}
	return nil
}

// KVEventsConfig is the value of --kv-events-config: the template with what makes
// the worker publish on a port of its own, or not publish; keys that the template
// has stay in place.
func KVEventsConfig(template state.Args, publishes bool) actors.Text {
	if !publishes {
		off := template.Without("endpoint").With("enable_kv_cache_events", json.RawMessage("false"))
		return actors.Lit(objectText(off))
	}
	// The port is put in after what the user wrote is sealed.
	const endpoint = `"tcp://*:{port}"`
	on := template.Overlay(state.Args{
		{Key: "publisher", Value: json.RawMessage(`"zmq"`)},
		{Key: "topic", Value: json.RawMessage(`"kv-events"`)},
		{Key: "endpoint", Value: json.RawMessage(endpoint)},
		{Key: "enable_kv_cache_events", Value: json.RawMessage("true")},
	})
	var b strings.Builder
	for i, a := range on {
		if i > 0 {
			b.WriteString(", ")
		}
		text := sealed(objectText(state.Args{a}))
		if a.Key == "endpoint" {
			text = strings.Replace(text, "{port}", portOf(self, actors.PortKV), 1)
		}
		b.WriteString(text[1 : len(text)-1])
	}
	return actors.Exp("{" + b.String() + "}")
}

func kvEventsFlag(on bool) string {
	if on {
		return "--router-kv-events"
	}
	return "--no-router-kv-events"
}

// planeFlags are the flags that frontend and workers share.
func planeFlags(s state.ServerSpec) []string {
	return []string{"--discovery-backend", "etcd", "--request-plane", s.RequestPlane, "--event-plane", s.EventPlane}
}

func lits(words ...string) []actors.Text {
	texts := make([]actors.Text, len(words))
	for i, w := range words {
		texts[i] = actors.Lit(w)
	}
	return texts
}
