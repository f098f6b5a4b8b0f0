package dgd

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"

	"dynctl/state"
	"dynctl/state/engineflags"
)

// flag is one flag of a command line. Its name has no leading dashes and hyphens
// in place of underscores up to its first dot.
type flag struct {
	name   string
	values []string
	// raw is its value as an argument, where that is not what the words say.
	raw json.RawMessage
}

// shortFlags are the abbreviations with a meaning of their own, by engine.
var shortFlags = map[string]map[string]string{
	state.EngineVLLM: {
		"tp": "tensor-parallel-size", "pp": "pipeline-parallel-size", "dp": "data-parallel-size",
		"pcp": "prefill-context-parallel-size", "dcp": "decode-context-parallel-size", "q": "quantization",
	},
	state.EngineSGLang: {"tp": "tp-size", "pp": "pp-size", "dp": "dp-size", "ep": "ep-size"},
}

// readFlags reads the words behind the module. Which flags take values is not
// known here: a word that is no flag belongs to the flag before it. stray are the
// words before the first flag.
func readFlags(engine string, words []string) (flags []flag, stray []string) {
	for _, w := range words {
		switch {
		case w == "--":
		case isFlag(w):
			if level, ok := strings.CutPrefix(w, "-O"); ok && engine == state.EngineVLLM && number.MatchString(level) {
				w = "-O=" + level // as its parser has it
			}
			name, value, hasValue := strings.Cut(w, "=")
			f := flag{name: flagName(engine, name)}
			if hasValue {
				f.values = []string{value}
			}
			flags = append(flags, f)
		case len(flags) == 0:
			stray = append(stray, w)
		default:
			last := &flags[len(flags)-1]
			last.values = append(last.values, w)
		}
	}
	return flags, stray
}

var number = regexp.MustCompile(`^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$`)

func isFlag(word string) bool {
	return len(word) > 1 && word[0] == '-' && !number.MatchString(word)
}

func flagName(engine, word string) string {
	head, rest, dotted := strings.Cut(strings.TrimLeft(word, "-"), ".")
	head = strings.ReplaceAll(head, "_", "-")
	if long := shortFlags[engine][head]; long != "" {
		head = long
	}
	if dotted {
		return head + "." + rest
	}
	return head
}

// key is the name of the flag's argument in a spec, and whether it is switched off.
func (f flag) key() (key string, off bool) {
	head, rest, dotted := strings.Cut(f.name, ".")
	if len(f.values) == 0 {
		head, off = strings.CutPrefix(head, "no-")
	}
	head = strings.ReplaceAll(head, "-", "_")
	if dotted {
		return head + "." + rest, off
	}
	return head, off
}

// arg is the flag as an argument of a spec.
func (f flag) arg() state.Arg {
	key, off := f.key()
	if f.raw != nil {
		return state.Arg{Key: key, Value: f.raw}
	}
	switch len(f.values) {
	case 0:
		value := "true"
		if off {
			value = "false"
		}
		return state.Arg{Key: key, Value: json.RawMessage(value)}
	case 1:
		value := jsonValue(f.values[0])
		if b, err := strconv.ParseBool(f.values[0]); err == nil && strings.Contains(key, ".") && !number.Match(value) {
			// A dotted key takes true and false as values.
			value = json.RawMessage(strconv.FormatBool(b))
		}
		return state.Arg{Key: key, Value: value}
	}
	var list []json.RawMessage
	for _, v := range f.values {
		list = append(list, jsonValue(v))
	}
	return state.Arg{Key: key, Value: encoded(list)}
}

// jsonValue keeps numbers, objects and lists what they are; all else is text.
func jsonValue(word string) json.RawMessage {
	isJSON := strings.HasPrefix(word, "{") || strings.HasPrefix(word, "[")
	if number.MatchString(word) || isJSON && json.Valid([]byte(word)) {
		return json.RawMessage(word)
	}
	return encoded(word)
}

// encoded is v as JSON; v is made of strings and valid JSON, which always encode.
func encoded(v any) json.RawMessage {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v)
	return json.RawMessage(strings.TrimSpace(b.String()))
}

// first is the only value of the flag, or its first.
func (f flag) first() string {
	if len(f.values) == 0 {
		return ""
	}
	return f.values[0]
}

// common splits the arguments of two roles into those that both have alike, in
// the order of decode, and what is each one's own.
func common(prefill, decode state.Args) (both, prefillOwn, decodeOwn state.Args) {
	for _, a := range decode {
		if v, ok := prefill.Get(a.Key); ok && string(v) == string(a.Value) {
			both = append(both, a)
		} else {
			decodeOwn = append(decodeOwn, a)
		}
	}
	for _, a := range prefill {
		if _, ok := both.Get(a.Key); !ok {
			prefillOwn = append(prefillOwn, a)
		}
	}
	return both, prefillOwn, decodeOwn
}

// commonEnv is the same for variables.
func commonEnv(prefill, decode state.Env) (both, prefillOwn, decodeOwn state.Env) {
	put := func(dst *state.Env, name string, v state.EnvValue) {
		if *dst == nil {
			*dst = state.Env{}
		}
		(*dst)[name] = v
	}
	for name, v := range decode {
		if other, ok := prefill[name]; ok && other == v {
			put(&both, name, v)
		} else {
			put(&decodeOwn, name, v)
		}
	}
	for name, v := range prefill {
		if _, ok := both[name]; !ok {
			put(&prefillOwn, name, v)
		}
	}
	return both, prefillOwn, decodeOwn
}

// repeats reports whether a flag of a program counts as often as it is given.
func repeats(program, key string) bool {
	found, ok := engineflags.Recorded(program).Find(key)
	return ok && found.Repeats
}

// elements are those of a list, or the one value.
func elements(value json.RawMessage) []json.RawMessage {
	var list []json.RawMessage
	if json.Unmarshal(value, &list) == nil {
		return list
	}
	return []json.RawMessage{value}
}
