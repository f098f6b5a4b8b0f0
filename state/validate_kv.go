package state

import "encoding/json"

// kvConfigs adds the faults of the connector and of the template for KV events,
// where an engine or a role has no flag that takes them. What depends on routing is
// checked by package router.
func (f *faults) kvConfigs(sp ModelSpec) {
	f.kvTransferConfig("spec", sp.Engine, sp.KVTransferConfig)
	f.kvEventsConfig("spec", sp.Engine, sp.KVEventsConfig)
	for _, role := range []string{RolePrefill, RoleDecode} {
		own := sp.roleOrNone(role)
		f.kvTransferConfig("spec."+role, sp.Engine, own.KVTransferConfig)
		switch at := "spec." + role + ".kvEventsConfig"; {
		case role == RoleDecode && len(own.KVEventsConfig) > 0:
			f.add(ReasonNotForEngine, at, "decode workers never publish KV events; remove it, or move it to spec.prefill")
		default:
			f.kvEventsConfig("spec."+role, sp.Engine, own.KVEventsConfig)
		}
	}
}

func (f *faults) kvTransferConfig(path, engine string, config Args) {
	if len(config) == 0 {
		return
	}
	const not = "%s has no flag that takes a KV connector; remove it, and set %s in engineArgs"
	switch path += ".kvTransferConfig"; engine {
	case EngineSGLang:
		f.add(ReasonNotForEngine, path, not, engine, "disaggregation_transfer_backend")
	case EngineTRTLLM:
		f.add(ReasonNotForEngine, path, not, engine, "trtllm.cache_transceiver_config.backend")
	case EngineMocker:
		f.add(ReasonNotForEngine, path, "the mocker moves no KV blocks; remove it")
	}
}

func (f *faults) kvEventsConfig(path, engine string, config Args) {
	if len(config) == 0 {
		return
	}
	if v, ok := config.Get(KeyEnableKVEvents); ok && !isTruth(v) && !isNull(v) {
		f.add(ReasonInvalidArgument, path+".kvEventsConfig."+KeyEnableKVEvents, "it takes true or false, without quotes")
	}
	switch path += ".kvEventsConfig"; engine {
	case EngineTRTLLM:
		f.add(ReasonNotForEngine, path, "trtllm publishes KV events or does not, and takes no template for them; remove it, and set router.kvEvents")
	case EngineMocker:
		f.add(ReasonNotForEngine, path, "the mocker takes no template for KV events; remove it")
	}
}

// EnablesKVEvents says what a template for --kv-events-config asks for; ok is false
// where it does not say.
func EnablesKVEvents(template Args) (on, ok bool) {
	value, ok := template.Get(KeyEnableKVEvents)
	return string(value) == "true", ok && isTruth(value)
}

func isTruth(value json.RawMessage) bool { return string(value) == "true" || string(value) == "false" }

// KeyEnableKVEvents is the key of --kv-events-config that has a worker publish.
const KeyEnableKVEvents = "enable_kv_cache_events"

// KVEventsPath is where a key of a role's template for KV events is written.
func (m ModelSpec) KVEventsPath(role, key string) string {
	if _, ok := m.roleOrNone(role).KVEventsConfig.Get(key); ok {
		return "spec." + role + ".kvEventsConfig." + key
	}
	return "spec.kvEventsConfig." + key
}
