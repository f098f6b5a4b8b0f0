package state

const hybridKVCacheFlag = "disable-hybrid-kv-cache-manager"

// HybridKVCache reports whether a worker of a role explicitly enables the hybrid KV
// cache manager (disable_hybrid_kv_cache_manager is exactly false), with which it
// cannot publish KV events.
func (m ModelSpec) HybridKVCache(role string) bool {
	_, on := m.hybridArg(role)
	return on
}

// HybridKVCachePath is where the argument that HybridKVCache speaks of is written.
func (m ModelSpec) HybridKVCachePath(role string) string {
	x, _ := m.hybridArg(role)
	return x.path
}

// hybridArg is the last argument that switches the hybrid KV cache manager, and
// whether that leaves it on.
func (m ModelSpec) hybridArg(role string) (last commandArg, on bool) {
	for _, x := range m.commandArgs(role) {
		if flagName(x.Key) == hybridKVCacheFlag {
			last, on = x, string(x.Value) == "false"
		}
	}
	return last, on
}
