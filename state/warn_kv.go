package state

import (
	"slices"
	"strings"
)

// connectorKeys are those of vllm's KVTransferConfig (0.31); a connector's own go into
// kv_connector_extra_config.
var connectorKeys = []string{
	"kv_connector", "kv_role", "kv_connector_extra_config", "kv_connector_module_path", "kv_buffer_device", "kv_buffer_size",
	"kv_rank", "kv_parallel_size", "kv_ip", "kv_port", "kv_load_failure_policy", "engine_id", "enable_permute_local_kv",
}

var connectorRoles = []string{"kv_producer", "kv_consumer", "kv_both"}

// connectors tells of a connector that vllm would refuse, each place once.
func (w *warnings) connectors(m ModelSpec) {
	told := map[string]bool{}
	add := func(path, format string, args ...any) {
		if !told[path] {
			told[path] = true
			w.add(path, format, args...)
		}
	}
	for _, role := range m.Roles() {
		own := m.roleOrNone(role).KVTransferConfig
		place := func(key string) string {
			if _, ok := own.Get(key); ok {
				return "spec." + role + ".kvTransferConfig." + key
			}
			return "spec.kvTransferConfig." + key
		}
		config := m.RoleKVTransfer(role)
		known := true // every key is one of vllm's
		for _, x := range config {
			if !slices.Contains(connectorKeys, x.Key) {
				known = false
				add(place(x.Key), "vllm 0.31 knows no such key of a connector%s; what belongs to the connector itself goes into kv_connector_extra_config",
					didYouMean(x.Key, connectorKeys))
			}
		}
		connector, named := config.Get("kv_connector")
		if named = named && !isNull(connector); len(config) > 0 && !named && known {
			add(place("kv_connector"), "vllm moves no KV blocks without a kv_connector, and none is named; add one, such as NixlConnector")
		}
		value, has := config.Get("kv_role")
		has = has && !isNull(value)
		switch says := jsonText(value); {
		case has && !slices.Contains(connectorRoles, says):
			add(place("kv_role"), "vllm takes one of %s%s", strings.Join(connectorRoles, ", "), didYouMean(says, connectorRoles))
		case named && !has:
			add(place("kv_connector"), "vllm wants a kv_role beside kv_connector; add one of %s", strings.Join(connectorRoles, ", "))
		}
	}
}

// hybridForm tells of the form of an argument by which vllm turns its hybrid KV cache
// manager on, and which no rule of KV events looks at.
func (w *warnings) hybridForm(m ModelSpec) {
	told := map[string]bool{}
	for _, role := range m.Roles() {
		for _, x := range m.commandArgs(role) {
			if flagName(x.Key) == "no-"+hybridKVCacheFlag && string(x.Value) == "true" && !told[x.path] {
				told[x.path] = true
				w.add(x.path, "write disable_hybrid_kv_cache_manager: false, by which KV events are turned off for these workers: with the manager vllm publishes none")
			}
		}
	}
}

// processes tells of workers that would be several in one process, each place once.
func (w *warnings) processes(m ModelSpec) {
	if m.Engine != EngineMocker {
		return
	}
	told := map[string]bool{}
	for _, role := range m.Roles() {
		for _, x := range m.commandArgs(role) {
			if aliased(m.Engine, x.Key) == "num-workers" && string(x.Value) != "1" && !told[x.path] {
				told[x.path] = true
				w.add(x.path, "a process stands for one worker, and the others in it are neither counted nor healed; remove it, and use replicas")
			}
		}
	}
}
