package state

import (
	"strconv"
	"time"
)

// WarnModel returns what a valid model says and what does not do what it seems
// to, in the order of its fields. It has its defaults filled in. What depends on
// its server besides is told by package router.
func WarnModel(m Model) []Warning {
	w := warnings{key: ModelKey(m.Metadata.Server, m.Metadata.Name).String()}
	w.readyTimeout(m.Spec)
	return w.list
}

// ReadyTimeoutEnv is the variable that says after how many seconds vllm gives up
// loading by itself.
const ReadyTimeoutEnv = "VLLM_ENGINE_READY_TIMEOUT_S"

// readyTimeout tells of an engine that gives up before startupTimeout is over.
func (w *warnings) readyTimeout(sp ModelSpec) {
	if sp.Engine != EngineVLLM {
		return
	}
	given, ok := sp.Env[ReadyTimeoutEnv]
	if !ok {
		return
	}
	seconds, err := strconv.ParseFloat(given.Value, 64)
	if err == nil && time.Duration(seconds*float64(time.Second)) < time.Duration(sp.StartupTimeout) {
		w.add("spec.env."+ReadyTimeoutEnv, "vllm gives up after these %s seconds, before startupTimeout (%s) is over; raise it, or remove it to have it follow startupTimeout",
			given.Value, sp.StartupTimeout)
	}
}
