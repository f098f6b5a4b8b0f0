package engineflags

import (
	"encoding/json"
	"slices"
	"strings"
)

// Wants is what the flag takes, in words: "a whole number, or auto".
func (f Flag) Wants() string {
	text := f.wants()
	if len(f.Choices) > 0 {
		text = "one of " + strings.Join(f.Choices, ", ")
	}
	if len(f.Besides) > 0 {
		text += ", or " + strings.Join(f.Besides, ", ")
	}
	switch {
	case f.Kind == KindExit:
		return "nothing: it prints something and ends the program"
	case f.Repeats:
		return text + "; or a list, for each of which it is written once"
	case f.Many():
		return "a list; each " + text
	case f.Nargs == "?":
		return text + "; true writes it without a value"
	}
	return text
}

// OnTheLine is how the flag stands on a command line: "--max-model-len VALUE".
func (f Flag) OnTheLine() string {
	option := "--" + f.Name()
	switch {
	case f.Bare():
		return option
	case f.Many():
		return option + " VALUE..."
	case f.Nargs == "?":
		return option + " [VALUE]"
	}
	return option + " VALUE"
}

// SwitchedOff is how a found flag that takes no value is turned off; empty for the
// others.
func (f Found) SwitchedOff() string {
	switch {
	case f.Kind != KindSwitch && f.Kind != KindOptional:
		return ""
	case f.Kind == KindOptional:
		return "false writes --no-" + f.Name()
	case f.Negative != "":
		return "false writes " + f.Negative
	case string(f.Default) == "true":
		return "cannot be: it is on by itself"
	}
	return "false leaves it out"
}

// Keys are the keys under which a spec can set the flag, the name first.
func (f Flag) Keys() []string { return append([]string{f.Key()}, f.Aliases()...) }

// Schema is a JSON Schema of the values that a spec may give the flag. It refuses
// nothing that [Table.Words] takes.
func (f Flag) Schema() map[string]any {
	s := f.values()
	if f.Default != nil {
		s["default"] = f.Default
	}
	return s
}

func (f Flag) values() map[string]any {
	if f.Bare() {
		return map[string]any{"type": []string{"boolean", "null"}}
	}
	list := f.Many() || f.Repeats
	if len(f.Choices) > 0 {
		one := map[string]any{"enum": f.choiceValues()}
		if list {
			return map[string]any{"anyOf": []any{one, map[string]any{"type": "array", "items": one}}}
		}
		return one
	}
	types := f.types()
	if types == nil {
		return map[string]any{}
	}
	if list {
		types = append([]string{"array"}, types...)
	}
	return map[string]any{"type": append(types, "null")}
}

// types are those of one value, nil for any.
func (f Flag) types() []string {
	var out []string
	switch f.Kind {
	case KindInt, KindSize:
		out = []string{"integer", "string"}
	case KindFloat:
		out = []string{"number", "string"}
	case KindBool:
		return []string{"boolean", "string", "integer"}
	case KindConfig:
		out = []string{"object", "string"}
	case KindText:
		if f.Many() {
			return nil
		}
		out = []string{"string", "number", "array", "object"}
		if f.Repeats {
			out = slices.DeleteFunc(out, func(t string) bool { return t == "array" })
		}
	default:
		return nil
	}
	if f.Nargs == "?" {
		out = append(out, "boolean")
	}
	return out
}

// choiceValues are the words that the flag takes, also as the numbers and truth
// values that YAML makes of them, and null.
func (f Flag) choiceValues() []any {
	var out []any
	for _, word := range slices.Concat(f.Choices, f.Besides) {
		out = append(out, word)
		var value any
		if json.Unmarshal([]byte(strings.ToLower(word)), &value) != nil {
			continue
		}
		switch value.(type) {
		case float64, bool:
			out = append(out, value)
		}
	}
	if f.Nargs == "?" {
		for _, truth := range []any{true, false} {
			if !slices.Contains(out, truth) {
				out = append(out, truth)
			}
		}
	}
	return append(out, nil)
}
