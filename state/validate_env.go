package state

import (
	"slices"
	"strings"
)

// managedVariable is a pattern of environment variables that dynctl sets itself,
// with what to do instead. A "*" stands for any text.
type managedVariable struct{ pattern, way string }

var managedVariables = []managedVariable{
	{"ETCD_ENDPOINTS", "use the server's spec.etcd.endpoint"},
	{"NATS_SERVER", "use the server's spec.nats.url"},
	{"CUDA_VISIBLE_DEVICES", "a worker sees the GPUs that Ray gives it, as many as spec.resources.gpus says"},
	{"VLLM_NIXL_SIDE_CHANNEL_PORT", "each worker that needs one is given a free port"},
	{"PYTHONHASHSEED", "it is 0 for workers that share KV blocks"},
	{"DYN_ROUTER_MODE", "use spec.router.mode"},
	{"DYN_ROUTER_LOAD_AWARE", "use spec.router.mode"},
	{"DYN_ROUTER_USE_KV_EVENTS", "use spec.router.kvEvents"},
	{"DYN_*_PUBLISH_KV_EVENTS", "use spec.router.kvEvents"},
	{"DYN_NAMESPACE*", "use the server's spec.dynamoNamespace"},
	{"DYN_ENDPOINT", "use spec.servedName, which names the endpoint"},
	{"DYN_DISCOVERY_BACKEND", "it is etcd"},
	{"DYN_*_PLANE", "use the server's spec.requestPlane and spec.eventPlane"},
	{"DYN_SYSTEM_*", "each worker is given a free port, and is asked there how it is"},
	{"DYN_HTTP_PORT", "use the server's spec.frontend.port"},
	{"DYN_CONNECTOR", "use spec.kvTransferConfig"},
	{"DYN_*_DISAGGREGATION_MODE", "use spec.mode"},
	{"DYN_*_HEADLESS", "the further ranks of a worker on several nodes are started so"},
	{"DYN_*_SERVED_MODEL_NAME", "use spec.servedName"},
	{"DYN_MODEL_NAME", "use spec.servedName"},
	{"DYN_MODEL_PATH", "use spec.model"},
	{"DYN_TRTLLM_MODEL", "use spec.model"},
	{"DYN_*_PARALLEL_SIZE", "use spec.engineArgs, where its GPUs are counted"},
	{"DYN_TRTLLM_*_ENGINE_ARGS", "use spec.engineArgs"},
}

func (v managedVariable) matches(name string) bool {
	before, after, wild := strings.Cut(v.pattern, "*")
	if !wild {
		return name == v.pattern
	}
	return len(name) >= len(before)+len(after) && strings.HasPrefix(name, before) && strings.HasSuffix(name, after)
}

// env adds a fault for each variable that cannot be set or is set by dynctl.
func (f *faults) env(path string, env Env) {
	for _, name := range env.Names() {
		value := env[name]
		at := path + "." + name
		switch {
		case name == "" || strings.ContainsAny(name, "=\x00"):
			f.add(ReasonInvalidEnv, at, "%q cannot name a variable; use letters, digits and _", name)
		case strings.ContainsRune(value.Value+value.FromFile+value.FromEnv, 0):
			f.add(ReasonInvalidEnv, at, "the value holds a NUL character, which no environment can; remove it")
		case len(name)+len("=")+len(value.Value) > maxExecText:
			f.add(ReasonInvalidEnv, at, "the value has %d bytes, and Linux takes %d as one variable; put it into a file that the process reads",
				len(value.Value), max(maxExecText-len(name)-len("="), 0))
		}
		f.managedVariable(at, name)
	}
}

// ManagedVariable reports whether dynctl sets a variable of workers itself.
func ManagedVariable(name string) bool {
	return slices.ContainsFunc(managedVariables, func(v managedVariable) bool { return v.matches(name) })
}

// managedVariable adds a fault if dynctl sets a variable itself.
func (f *faults) managedVariable(path, name string) {
	for _, v := range managedVariables {
		if !v.matches(name) {
			continue
		}
		f.add(ReasonManagedEnv, path, "dynctl sets %s itself; remove it: %s", v.pattern, v.way)
		return
	}
}

// runtimeEnv adds the faults of a runtime_env: its variables are the environment
// that a worker's is made from, and merged with the server's it may ask for one
// installer only.
func (f *faults) runtimeEnv(path string, own, merged Args, whose string) {
	vars, given := own.Get("env_vars")
	if _, ok := asObject(vars); given && !ok && !isNull(vars) {
		f.add(ReasonInvalidEnv, path+".env_vars", "it takes an object of variables, such as {NAME: value}")
	}
	for _, x := range EnvVars(own) {
		at := path + ".env_vars." + x.Key
		f.managedVariable(at, x.Key)
		if !isText(x.Value) {
			f.add(ReasonInvalidEnv, at, "Ray takes text, and this is %s; put it in quotes", x.Value)
		}
	}
	has := func(key string) bool {
		v, ok := merged.Get(key)
		return ok && !isNull(v)
	}
	if has("pip") && has("uv") {
		f.add(ReasonPipAndUV, path, "%s has both pip and uv, and Ray takes one; keep one of them", whose)
	}
}
