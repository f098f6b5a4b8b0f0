package dgd

import (
	"encoding/json"
	"path"
	"slices"
	"strings"

	"dynctl/state"
)

// mount is a ConfigMap, or one key of it, that a container has as files.
type mount struct {
	path, config string
	// key is that of the one file; empty: path is a directory of all keys.
	key string
	// paths are the names of the files, by key, where they are not the keys.
	paths map[string]string
}

// podFiles is what of a pod says which files it has.
type podFiles struct {
	Volumes []struct {
		Name      string `json:"name"`
		ConfigMap *struct {
			Name  string `json:"name"`
			Items []struct {
				Key  string `json:"key"`
				Path string `json:"path"`
			} `json:"items"`
		} `json:"configMap"`
	} `json:"volumes"`
	MainContainer containerFiles   `json:"mainContainer"`
	Containers    []containerFiles `json:"containers"`
}

type containerFiles struct {
	VolumeMounts []struct {
		Name      string `json:"name"`
		MountPath string `json:"mountPath"`
		SubPath   string `json:"subPath"`
	} `json:"volumeMounts"`
}

// mounts are the ConfigMaps that a component mounts; none where it cannot be read.
func mounts(component json.RawMessage) []mount {
	var doc struct {
		ExtraPodSpec podFiles `json:"extraPodSpec"`
		PodTemplate  struct {
			Spec podFiles `json:"spec"`
		} `json:"podTemplate"`
	}
	_ = json.Unmarshal(component, &doc)
	var out []mount
	for _, pod := range []podFiles{doc.ExtraPodSpec, doc.PodTemplate.Spec} {
		for _, c := range append(pod.Containers, pod.MainContainer) {
			for _, m := range c.VolumeMounts {
				for _, v := range pod.Volumes {
					if v.ConfigMap == nil || v.Name != m.Name {
						continue
					}
					paths := map[string]string{}
					for _, item := range v.ConfigMap.Items {
						paths[item.Path] = item.Key
					}
					out = append(out, mount{path: path.Clean(m.MountPath), config: v.ConfigMap.Name, key: m.SubPath, paths: paths})
				}
			}
		}
	}
	return out
}

// file is the text of a file of a component, and the ConfigMap that holds it.
func (c *converter) file(comp component, name string) (text, config string, ok bool) {
	name = path.Clean(name)
	for _, m := range comp.files {
		key := m.key
		switch {
		case key != "" && m.path != name:
			continue
		case key == "" && path.Dir(name) != m.path:
			continue
		case key == "":
			key = path.Base(name)
		}
		if real := m.paths[key]; real != "" {
			key = real
		}
		if text, ok = c.configs.value(m.config, key); ok {
			return text, m.config, true
		}
	}
	return "", "", false
}

// writtenOut puts what a file of arguments says in place of the flag that names it,
// where the file is in a ConfigMap beside the deployment.
func (c *converter) writtenOut(w *worker, flags []flag) []flag {
	var out []flag
	for _, f := range flags {
		isFile := w.engine == state.EngineSGLang && f.name == "config" || w.engine == state.EngineTRTLLM && f.name == "extra-engine-args"
		if !isFile {
			out = append(out, f)
			continue
		}
		text, config, ok := c.file(w.component, f.first())
		args, readable := yamlObject(text)
		if !ok || !readable {
			out = append(out, f)
			continue
		}
		c.note("%s: --%s became what the file says, which is in the ConfigMap %s", w.name, f.name, config)
		if w.engine == state.EngineTRTLLM {
			// The file wins over the flags.
			out = append(out, trtllmFlags(args)...)
			continue
		}
		// Flags win over the file.
		var said []flag
		for _, a := range args {
			said = append(said, argFlag(w.engine, a))
		}
		out = slices.Concat(said, out)
	}
	return out
}

// argFlag is an argument of a file as the flag that it stands for.
func argFlag(engine string, a state.Arg) flag {
	f := flag{name: flagName(engine, a.Key), raw: a.Value}
	var word string
	switch {
	case string(a.Value) == "true" || string(a.Value) == "false" || string(a.Value) == "null":
	case json.Unmarshal(a.Value, &word) == nil:
		f.values = []string{word}
	case a.Value[0] == '[':
		for _, e := range elements(a.Value) {
			f.values = append(f.values, strings.Trim(string(e), `"`))
		}
	default:
		f.values = []string{string(a.Value)}
	}
	return f
}

// trtllmFlags are the sizes of a file as flags, where their GPUs are counted, and all
// else as one object, of which Dynamo makes the same.
func trtllmFlags(args state.Args) []flag {
	var sizes []flag
	var rest state.Args
	for _, a := range args {
		if state.ParallelFlag(state.EngineTRTLLM, a.Key) {
			sizes = append(sizes, argFlag(state.EngineTRTLLM, a))
		} else {
			rest = append(rest, a)
		}
	}
	if len(rest) == 0 {
		return sizes
	}
	return append(sizes, flag{name: "override-engine-args", raw: encoded(rest), values: []string{string(encoded(rest))}})
}

// yamlObject is the one YAML mapping that a text holds.
func yamlObject(text string) (state.Args, bool) {
	docs, err := state.DecodeAny("file", []byte(text))
	if err != nil || len(docs) != 1 {
		return nil, false
	}
	var args state.Args
	err = json.Unmarshal(docs[0].Raw, &args)
	return args, err == nil && len(args) > 0
}
