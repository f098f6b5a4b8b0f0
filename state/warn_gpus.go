package state

import "strings"

// gpus tells of workers that ask for fewer GPUs than their sizes take, and of sizes
// that cannot be counted, each place once.
func (w *warnings) gpus(m ModelSpec) {
	told := map[string]bool{}
	for _, role := range m.Roles() {
		asked := m.RoleResources(role).GPUs
		for _, x := range m.commandArgs(role) {
			if what := uncounted(m.Engine, x.Arg); what != "" && asked == nil && !told[x.path] {
				told[x.path] = true
				w.add(x.path, "%s, which dynctl does not count: set resources.gpus to the GPUs of one worker", what)
			}
		}
		sizes, invalid := m.sizes(role)
		path := "spec.resources.gpus"
		if m.roleOrNone(role).Resources.GPUs != nil {
			path = "spec." + role + ".resources.gpus"
		}
		if invalid != nil || asked == nil || m.Engine == EngineMocker || told[path] {
			continue
		}
		if n := m.product(role, sizes); *asked < n && *asked > 0 {
			told[path] = true
			w.add(path, "the parallel sizes of a worker come to %d GPUs, and it is given %d; raise it, or lower the sizes", n, *asked)
		}
	}
}

// uncounted says what of an argument may set parallel sizes where nobody counts
// them; empty where it cannot.
func uncounted(engine string, x Arg) string {
	name := flagName(x.Key)
	nested := strings.HasPrefix(name, "trtllm.") && strings.HasSuffix(name, "parallel-size")
	if engine == EngineTRTLLM && nested && !strings.Contains(name, "expert") && !strings.Contains(name, "moe") {
		return "it sets a parallel size"
	}
	const file = "the file may set parallel sizes, and flags that dynctl sets itself"
	switch engine + " " + name {
	case EngineVLLM + " config", EngineSGLang + " config", EngineSGLang + " disagg-config", EngineTRTLLM + " extra-engine-args":
		return file
	case EngineTRTLLM + " override-engine-args":
		if nestedParallel(x.Value) {
			return "it sets a parallel size"
		}
	case EngineSGLang + " base-gpu-id", EngineSGLang + " gpu-id-step":
		if n := string(x.Value); n != map[bool]string{true: "0", false: "1"}[name == "base-gpu-id"] {
			return "it leaves out GPUs of the worker, which are numbered from 0"
		}
	case EngineTRTLLM + " dit-ulysses-size", EngineTRTLLM + " dit-ring-size", EngineTRTLLM + " dit-cfg-size":
		if string(x.Value) != "1" {
			return "it multiplies the GPUs of a worker"
		}
	}
	return ""
}
