package state

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// inherited are the beginnings of variables that no process inherits from the
// actor that executes it.
var inherited = []string{"DYN_", "ETCD_", "NATS_", "RAY_"}

// runtimeEnvKeys are those that Ray 2.60 reads, without its own and its experiments.
var runtimeEnvKeys = []string{
	"conda", "config", "container", "env_vars", "excludes", "image_uri", "java_jars", "mpi", "nsight", "pip", "py_executable",
	"py_modules", "rocprof_sys", "uv", "worker_process_setup_hook", "working_dir",
}

// runtimeEnv tells of keys of a runtime_env that Ray does not read, and of variables
// that no process sees.
func (w *warnings) runtimeEnv(own Args, env Env) {
	for _, x := range own {
		if !slices.Contains(runtimeEnvKeys, x.Key) && !strings.HasPrefix(x.Key, "_") {
			w.add("spec.runtimeEnv."+x.Key, "Ray 2.60 reads no such key of a runtime_env%s; remove it", didYouMean(x.Key, runtimeEnvKeys))
		}
	}
	for _, x := range EnvVars(own) {
		at := "spec.runtimeEnv.env_vars." + x.Key
		if slices.ContainsFunc(inherited, func(p string) bool { return strings.HasPrefix(x.Key, p) }) {
			w.add(at, "processes inherit no %s variable from Ray; write it in spec.env", x.Key[:strings.IndexByte(x.Key, '_')+1]+"*")
		} else if _, ok := env[x.Key]; ok {
			w.add(at, "spec.env has %s as well, which wins; remove one of them", x.Key)
		}
	}
}

// EnvVars are the variables of a runtime_env.
func EnvVars(runtimeEnv Args) Args {
	vars, _ := runtimeEnv.Get("env_vars")
	object, _ := asObject(vars)
	return object
}

// ReadyTimeoutEnv is the variable that says after how many seconds vllm gives up
// loading by itself.
const ReadyTimeoutEnv = "VLLM_ENGINE_READY_TIMEOUT_S"

// readyTimeout tells of an engine that gives up before startupTimeout is over.
func (w *warnings) readyTimeout(m ModelSpec, server ServerSpec) {
	if m.Engine != EngineVLLM {
		return
	}
	told := map[string]bool{}
	for _, role := range m.Roles() {
		value, path := m.roleVariable(role, ReadyTimeoutEnv)
		if path == "" {
			// There is no place of the model's but the one that it defeats.
			value, path = server.Env[ReadyTimeoutEnv], "spec.startupTimeout"
		}
		seconds, err := strconv.ParseFloat(value.Value, 64)
		if err != nil || seconds >= m.StartupTimeout.Seconds() || told[path] {
			continue
		}
		told[path] = true
		w.add(path, "%s has vllm give up after %s seconds, before startupTimeout (%s) is over; raise it, or remove it to have it follow startupTimeout",
			ReadyTimeoutEnv, value.Value, m.StartupTimeout)
	}
}

// roleVariable is a variable of a role's workers with its place; the place is empty
// where neither the role nor the model has it.
func (m ModelSpec) roleVariable(role, name string) (value EnvValue, path string) {
	if v, ok := m.roleOrNone(role).Env[name]; ok {
		return v, "spec." + role + ".env." + name
	}
	if v, ok := m.Env[name]; ok {
		return v, "spec.env." + name
	}
	return EnvValue{}, ""
}

// readyTimeoutDefault is after how long vllm gives up by itself.
const readyTimeoutDefault = Duration(10 * time.Minute)

// ReadyTimeout is the value of [ReadyTimeoutEnv] by which vllm waits as long as
// startupTimeout says; empty where it does so by itself.
func (m ModelSpec) ReadyTimeout() string {
	if m.Engine != EngineVLLM || m.StartupTimeout <= readyTimeoutDefault {
		return ""
	}
	return strconv.FormatInt(int64(math.Ceil(m.StartupTimeout.Seconds())), 10)
}
