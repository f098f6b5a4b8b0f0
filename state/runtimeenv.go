package state

import (
	"encoding/json"
	"slices"
)

// MergeRuntimeEnv merges the Ray runtime_env of a server and of a model.
// Variables in env_vars are merged, the model's win; the package lists of pip and
// of uv are joined, and so are their lists of installer options; every other key
// is the model's where it has one. Neither argument is changed.
func MergeRuntimeEnv(server, model Args) Args {
	places := server.places()
	var over Args
	for _, x := range model {
		value := x.Value
		if i, has := places[x.Key]; has {
			base := server[i].Value
			switch x.Key {
			case "env_vars":
				value = mergeObjects(base, value)
			case "pip":
				value = mergePackages(base, value, "pip_install_options")
			case "uv":
				value = mergePackages(base, value, "uv_pip_install_options")
			}
		}
		over = append(over, Arg{Key: x.Key, Value: value})
	}
	return server.Overlay(over)
}

func mergeObjects(base, over json.RawMessage) json.RawMessage {
	a, okA := asObject(base)
	b, okB := asObject(over)
	switch {
	case isNull(over):
		return base
	case !okA || !okB:
		return over
	}
	return marshalArgs(a.Overlay(b))
}

// mergePackages joins two values of pip or uv, each a list of packages or an
// object with the key packages. Two lists give a list, else the result is an
// object. What is neither (pip may be the path of a file) cannot be joined: the
// later one counts.
func mergePackages(base, over json.RawMessage, options string) json.RawMessage {
	switch {
	case isNull(over):
		return base
	case isNull(base):
		return over
	}
	listA, isListA := asList(base)
	listB, isListB := asList(over)
	if isListA && isListB {
		return marshalList(slices.Concat(listA, listB))
	}
	a, okA := packagesObject(base, options)
	b, okB := packagesObject(over, options)
	if !okA || !okB {
		return over
	}
	out := a.Clone()
	for _, x := range b {
		if x.Key != "packages" && x.Key != options {
			out = out.With(x.Key, x.Value)
		}
	}
	out = out.With("packages", marshalList(joinLists(a, b, "packages")))
	if joined := joinLists(a, b, options); len(joined) > 0 {
		out = out.With(options, marshalList(joined))
	}
	return marshalArgs(out)
}

func packagesObject(value json.RawMessage, options string) (Args, bool) {
	if _, ok := asList(value); ok {
		return Args{{Key: "packages", Value: value}}, true
	}
	object, ok := asObject(value)
	for _, key := range []string{"packages", options} {
		if v, has := object.Get(key); has && !isNull(v) {
			if _, list := asList(v); !list {
				return nil, false
			}
		}
	}
	return object, ok
}

func joinLists(a, b Args, key string) []json.RawMessage {
	var out []json.RawMessage
	for _, args := range []Args{a, b} {
		if v, ok := args.Get(key); ok {
			list, _ := asList(v)
			out = append(out, list...)
		}
	}
	return out
}

func isNull(value json.RawMessage) bool { return string(value) == "null" }

func isText(value json.RawMessage) bool { return len(value) > 0 && value[0] == '"' }

func asObject(value json.RawMessage) (Args, bool) {
	var out Args
	if err := json.Unmarshal(value, &out); err != nil || out == nil {
		return nil, false
	}
	return out, true
}

func asList(value json.RawMessage) ([]json.RawMessage, bool) {
	var out []json.RawMessage
	if err := json.Unmarshal(value, &out); err != nil || out == nil {
		return nil, false
	}
	return out, true
}

func marshalList(list []json.RawMessage) json.RawMessage {
	out := []byte{'['}
	for i, v := range list {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, v...)
	}
	return append(out, ']')
}

func marshalArgs(a Args) json.RawMessage {
	// Each value came out of a JSON decoder, so there is nothing to fail.
	out, _ := a.MarshalJSON()
	return out
}
