package policy

// DefaultRoots are the directories that files of a spec may lie in.
var DefaultRoots = []string{"/run/secrets", "/etc/dynctl"}

// Why a variable is a way in.
const (
	whyLoader   = "it has the loader or a library load code into every process"
	whyPython   = "it has Python execute what it names"
	whyIndex    = "it says from where packages are installed"
	whyCommand  = "it names a program that is executed"
	whyShell    = "it has shells execute what it says"
	whyOther    = "it has another interpreter execute what it says"
	whyCompiler = "it decides what is compiled into kernels and executed"
	whyRay      = "it has Ray's processes load or execute what it says"
)

// variables are the ways in by a variable. Left out are those that only name a place for
// data or caches (HOME, HF_HOME, TRITON_CACHE_DIR, VLLM_CACHE_ROOT, ...): who may write there
// has been let in already.
var variables = []wayIn{
	{"LD_*", whyLoader}, // PRELOAD, LIBRARY_PATH, AUDIT, and all that ld.so has or will have
	{"GCONV_PATH", whyLoader},
	{"*_INJECTION32_PATH", whyLoader}, // CUDA and NVTX load such a library at their start
	{"*_INJECTION64_PATH", whyLoader},
	{"NCCL_*_PLUGIN", whyLoader},
	{"NCCL_CONF_FILE", whyLoader}, // it may name the plugins
	{"NVSHMEM_*PLUGIN*", whyLoader},
	{"VLLM_*_SO_PATH", whyLoader},
	{"NIXL_PLUGIN_DIR", whyLoader},
	{"UCX_MODULE_DIR", whyLoader},
	{"UCC_COMPONENT_PATH", whyLoader},
	{"FI_PROVIDER_PATH", whyLoader},
	{"RDMAV_DRIVERS", whyLoader},
	{"IBV_DRIVERS", whyLoader},
	{"HWLOC_PLUGINS_PATH", whyLoader},
	{"OMP_TOOL_LIBRARIES", whyLoader},
	{"OPENSSL_CONF", whyLoader},
	{"OPENSSL_ENGINES", whyLoader},
	{"OPENSSL_MODULES", whyLoader},
	{"TVM_LIBRARY_PATH", whyLoader},
	{"GST_PLUGIN_*", whyLoader},
	{"OPAL_*", whyLoader}, // Open MPI, below trtllm
	{"OMPI_MCA_*_path", whyLoader},
	{"PMIX_MCA_*_path", whyLoader},
	{"PRTE_MCA_*_path", whyLoader},

	{"PYTHONPATH", whyPython},
	{"PYTHONHOME", whyPython},
	{"PYTHONSTARTUP", whyPython},
	{"PYTHONINSPECT", whyPython},
	{"PYTHONBREAKPOINT", whyPython},
	{"PYTHONWARNINGS", whyPython}, // a category is imported
	{"PYTHONUSERBASE", whyPython}, // its .pth files are executed
	{"PYTHONPLATLIBDIR", whyPython},
	{"PYTHONPYCACHEPREFIX", whyPython}, // compiled modules are taken from there
	{"PYTHON_PRESITE", whyPython},
	{"VLLM_LOGGING_CONFIG_PATH", whyPython}, // logging.config calls what it names
	{"VLLM_ALLOW_INSECURE_SERIALIZATION", whyPython},
	{"SGLANG_EXTERNAL_*", whyPython},
	{"SGLANG_*PLUGIN*", whyPython},
	{"LMCACHE_*PLUGIN*", whyPython},
	{"LMCACHE_EXTERNAL_*", whyPython},
	{"HF_DATASETS_TRUST_REMOTE_CODE", whyPython},
	{"MPLBACKEND", whyPython},

	{"PIP_*", whyIndex},
	{"UV_*", whyIndex},
	{"CONDA_*", whyIndex},

	{"PATH", whyCommand},
	{"CC", whyCommand},
	{"CXX", whyCommand},
	{"CPP", whyCommand},
	{"*NVCC*", whyCommand},
	{"CUDA_HOME", whyCommand}, // bin/nvcc below it
	{"CUDA_PATH", whyCommand},
	{"CUDAHOSTCXX", whyCommand},
	{"TRITON_*_PATH", whyCommand}, // ptxas and others
	{"TRITON_*_PATHS", whyCommand},
	{"IMAGEIO_FFMPEG_EXE", whyCommand},
	{"OMPI_MCA_*_agent", whyCommand},
	{"PRTE_MCA_*_agent", whyCommand},
	{"GIT_*", whyCommand},
	{"SSH_ASKPASS", whyCommand},
	{"EDITOR", whyCommand},
	{"VISUAL", whyCommand},
	{"PAGER", whyCommand},
	{"BROWSER", whyCommand},
	{"LESSOPEN", whyCommand},
	{"LESSCLOSE", whyCommand},
	{"GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", whyCommand},

	{"GCC_EXEC_PREFIX", whyCompiler},
	{"COMPILER_PATH", whyCompiler},
	{"LIBRARY_PATH", whyCompiler},
	{"CPATH", whyCompiler},
	{"*_INCLUDE_PATH", whyCompiler},
	{"CFLAGS", whyCompiler},
	{"CXXFLAGS", whyCompiler},
	{"LDFLAGS", whyCompiler},
	{"FLASHINFER_EXTRA_*", whyCompiler},
	{"TRITON_OVERRIDE_DIR", whyCompiler},

	{"BASH_ENV", whyShell},
	{"ENV", whyShell},
	{"BASH_FUNC_*", whyShell}, // functions that bash takes from its environment
	{"SHELLOPTS", whyShell},
	{"BASHOPTS", whyShell},
	{"PS4", whyShell},
	{"PROMPT_COMMAND", whyShell},
	{"SHELL", whyShell},
	{"ZDOTDIR", whyShell},

	{"PERL5LIB", whyOther},
	{"PERL5OPT", whyOther},
	{"PERL5DB", whyOther},
	{"PERLLIB", whyOther},
	{"RUBYOPT", whyOther},
	{"RUBYLIB", whyOther},
	{"NODE_OPTIONS", whyOther},
	{"NODE_PATH", whyOther},
	{"LUA_*", whyOther},
	{"CLASSPATH", whyOther},
	{"JAVA_TOOL_OPTIONS", whyOther},
	{"JDK_JAVA_OPTIONS", whyOther},
	{"_JAVA_OPTIONS", whyOther},

	{"RAY_*HOOK*", whyRay},
	{"RAY_LD_*", whyRay},
	{"RAY_*PLUGIN*", whyRay},
}

// Why an argument is a way in.
const (
	whyImport  = "it names Python code that the engine imports"
	whyRequest = "it has requests bring code of their own"
	whyEnv     = "it sets variables of the engine's processes past spec.env"
)

// arguments are the ways in by an argument. trust_remote_code is none of them: half of
// all models cannot be served without it, and the code is that of the model which the
// spec chooses; models.only or arguments.deny are there for who wants it closed.
var arguments = []wayIn{
	{"worker-cls", whyImport},
	{"worker-extension-cls", whyImport},
	{"scheduler-cls", whyImport},
	{"middleware", whyImport},
	{"logits-processors", whyImport},
	{"io-processor-plugin", whyImport},
	{"reasoning-parser-plugin", whyImport},
	{"tool-parser-plugin", whyImport},
	{"custom-encoder-class", whyImport},
	{"model-class-overrides", whyImport},
	{"frontend-route-extension*", whyImport},
	{"custom-weight-loader", whyImport},
	{"forward-hooks", whyImport},
	{"kv-connector-module-path", whyImport}, // in kvTransferConfig; see connectors
	{"*module-path", whyImport},             // of other connectors, of what they offload to, of storage backends
	{"*plugin-location*", whyImport},        // lmcache's, in a connector's extra config
	{"*storage-plugin*", whyImport},
	{"external-backends", whyImport},
	{"custom-tokenizer", whyImport}, // trtllm's
	{"batched-logits-processor", whyImport},
	{"inductor-passes", whyImport},
	{"checkpoint-loader", whyImport},
	{"weight-mapper", whyImport},
	{"enable-custom-logit-processor", whyRequest},
	{"env-overrides", whyEnv}, // in override_engine_args of trtllm
}

// connectors are packages of which a kv_connector_module_path may name a module: those
// that come with the engines and Dynamo.
var connectors = []string{"vllm.", "dynamo.", "kvbm.", "lmcache.", "nixl."}

// runtimeKeys are the keys of a runtime_env that execute nothing by themselves;
// working_dir and py_modules are judged by where they come from.
var runtimeKeys = []string{"env_vars", "working_dir", "py_modules", "excludes", "config"}

// installers are the ways in by a key of a runtime_env; the last stands for all that is
// not known here: Ray's plugins add keys, and all of them do something on the node.
var installers = []wayIn{
	{"conda", "it installs packages from channels that the spec names, and installing one executes it"},
	{"py_executable", "it is the program that Ray executes"},
	{"image_uri", "it is the image that Ray executes"},
	{"container", "it is the image that Ray executes, and how"},
	{"worker_process_setup_hook", "it is code that Ray executes"},
	{"java_jars", "it is code that Ray loads"},
	{"*", "it is a plugin of Ray's, and those act on the node"},
}

// Way is one of the defaults.
type Way struct {
	// Section is where a policy allows it: "env", "arguments" or "runtimeEnv".
	Section string
	Pattern string
	Why     string
}

// Defaults are what is denied without a policy's file, in the order in which it is
// looked for; beside them stand DefaultRoots, and code that is loaded by URL.
func Defaults() []Way {
	var out []Way
	for _, s := range []struct {
		section string
		ways    []wayIn
	}{{"env", variables}, {"arguments", arguments}, {"runtimeEnv", installers}} {
		for _, w := range s.ways {
			out = append(out, Way{s.section, w.pattern, w.why})
		}
	}
	return out
}
