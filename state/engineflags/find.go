package engineflags

import (
	"slices"
	"strings"
)

// Found is the flag that a key of a spec sets.
type Found struct {
	Flag
	// Option is how it is written: as the key says it where the parser takes that, an
	// abbreviation included, else by its name.
	Option string
	// Off: the key is the form that turns the flag off.
	Off bool
	// Negative is the option of another flag that turns this one off, if there is one.
	Negative string
	// Path is what follows the first dot of a dotted key, as it was written.
	Path string
	// Joined: the key holds a "=", so that the value stands in the key.
	Joined bool
	// Ambiguous are the options that an abbreviation may stand for, if several.
	Ambiguous []string
}

// dynamicPrefix is how a key of TensorRT-LLM's own options begins, which Dynamo
// takes without a parser: "trtllm.kv_cache_config.enable_block_reuse".
const dynamicPrefix = TRTLLM + "."

// Find is the flag that a key sets: by its exact name, by a short option, or as an
// abbreviation where the parser takes them. "_" and "-" are the same, up to the
// first dot.
func (t *Table) Find(key string) (Found, bool) {
	if t == nil {
		return Found{}, false
	}
	head, path, dotted := strings.Cut(key, ".")
	if eq := strings.IndexByte(head, '='); eq >= 0 {
		found, ok := t.find(head[:eq])
		found.Joined = true
		return found, ok
	}
	if !dotted {
		return t.find(head)
	}
	if strings.HasPrefix(key, dynamicPrefix) && t.Program == TRTLLM {
		f := Flag{Names: []string{"--" + TRTLLM}, Kind: KindJSON}
		return Found{Flag: f, Option: "--" + TRTLLM, Path: path}, path != ""
	}
	found, ok := t.find(head)
	found.Path = path
	return found, ok && found.Object() && path != "" && t.dotted()
}

// Knows reports whether a key sets one flag of the table.
func (t *Table) Knows(key string) bool {
	found, ok := t.Find(key)
	return ok && found.Ambiguous == nil
}

// dotted reports whether one of the parsers takes dotted keys.
func (t *Table) dotted() bool {
	return t != nil && slices.ContainsFunc(t.Parsers, func(p Parser) bool { return p.Dotted })
}

func (t *Table) find(key string) (Found, bool) {
	if key == "" {
		return Found{}, false
	}
	long := dashed("--" + key)
	if found, ok := t.exact[long]; ok {
		return found, true
	}
	if found, ok := t.exact["-"+key]; ok {
		return found, true
	}
	for i, p := range t.Parsers {
		if p.Abbreviations && t.known[long] {
			if found, ok := p.abbreviated(long, t.begins[i]); ok {
				return found, true
			}
		}
	}
	return Found{}, false
}

// negative is the option that turns a switch off: that of a flag of its own.
func (p Parser) negative(f Flag) string {
	option := "--no-" + f.Name()
	if f.Kind == KindSwitch && slices.ContainsFunc(p.Flags, func(x Flag) bool { return slices.Contains(x.Names, option) }) {
		return option
	}
	return ""
}

// abbreviated is the flag that the beginning of an option stands for.
func (p Parser) abbreviated(long string, begins []begin) (Found, bool) {
	var found Found
	var options []string
	for _, b := range begins {
		if strings.HasPrefix(b.dashed, long) {
			f := p.Flags[b.flag]
			options = append(options, b.option)
			found = Found{Flag: f, Option: long, Off: f.turnsOff(b.option), Negative: p.negative(f)}
		}
	}
	if len(options) > 1 {
		found.Ambiguous = options
	}
	return found, len(options) > 0
}

func dashed(option string) string { return strings.ReplaceAll(option, "_", "-") }

// Same reports whether two keys set one thing, in whatever spelling.
func (t *Table) Same(a, b string) bool {
	if dashed(a) == dashed(b) {
		return true
	}
	x, ok := t.Find(a)
	y, also := t.Find(b)
	return ok && also && x.Ambiguous == nil && y.Ambiguous == nil && x.ID() == y.ID() && x.Path == y.Path && !x.Repeats
}

// Elsewhere is the key under which this table has the flag that another recorded
// program knows by a key: "tp" is "tensor_parallel_size". Empty where there is none.
func (t *Table) Elsewhere(key string) string {
	for _, program := range []string{VLLM, SGLang} {
		other, ok := Recorded(program).Find(key)
		if !ok || other.Ambiguous != nil || other.Path != "" {
			continue
		}
		for _, n := range other.Names {
			if own, ok := t.find(strings.TrimLeft(n, "-")); ok && own.Ambiguous == nil {
				return own.Key()
			}
		}
	}
	return ""
}
