package convert

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"dynctl/state"
)

// place is a place in a document that is converted.
type place struct {
	doc state.Doc
	// path leads there as state.Locate reads it, shown as a person writes it.
	path, shown string
}

func (p place) field(key string) place {
	return place{p.doc, strings.TrimPrefix(p.path+"."+key, "."), strings.TrimPrefix(p.shown+"."+key, ".")}
}

func (p place) item(i int) place {
	return place{p.doc, strings.TrimPrefix(p.path+"."+strconv.Itoa(i), "."), fmt.Sprintf("%s[%d]", p.shown, i)}
}

// errorf is what is wrong at the place: file, line and column, the field, and the
// line with a caret.
func (p place) errorf(format string, args ...any) error {
	line, column, snippet := state.Locate(p.doc, p.path)
	message := fmt.Errorf(format, args...).Error()
	if p.shown != "" {
		message = p.shown + ": " + message
	}
	return &state.SpecError{File: p.doc.File, Line: line, Column: column, Snippet: snippet, Message: message}
}

// unknown refuses a field that there is not.
func (p place) unknown(key string, known []string) error {
	if best := state.Nearest(key, known); best != "" {
		return p.errorf("unknown field; did you mean %s?", best)
	}
	return p.errorf("unknown field; known are %s", strings.Join(known, ", "))
}

// curatorNames are Curator's fields by those of a spec, the longer ones first.
var curatorNames = []struct{ spec, curator string }{
	{"prefill.replicas", "prefill.num_replicas"}, {"prefill.engineArgs", "prefill.engine_kwargs"},
	{"decode.replicas", "decode.num_replicas"}, {"decode.engineArgs", "decode.engine_kwargs"},
	{"prefill", "prefill"}, {"decode", "decode"}, {"model", "model_identifier"}, {"servedName", "model_name"},
	{"replicas", "num_replicas"}, {"mode", "mode"}, {"engineArgs", "engine_kwargs"}, {"dynamoArgs", "dynamo_kwargs"},
	{"kvEventsConfig", "kv_events_config"}, {"kvTransferConfig", "kv_transfer_config"}, {"runtimeEnv", "runtime_env"},
}

// curatorField is where the field of a model's spec came from; the model itself
// where that is not known.
func (p place) curatorField(path string) place {
	rest := strings.TrimPrefix(path, "spec.")
	for _, n := range curatorNames {
		if rest == n.spec {
			return p.field(n.curator)
		}
		if below, ok := strings.CutPrefix(rest, n.spec+"."); ok {
			return p.field(n.curator).field(below)
		}
	}
	return p
}

func isList(raw json.RawMessage) bool   { return len(raw) > 0 && raw[0] == '[' }
func isObject(raw json.RawMessage) bool { return len(raw) > 0 && raw[0] == '{' }

// fields calls f for each key of a JSON object, in order.
func fields(raw json.RawMessage, at place, f func(key string, value json.RawMessage, at place) error) error {
	var args state.Args
	if err := json.Unmarshal(raw, &args); err != nil || !isObject(raw) {
		return at.errorf("want a mapping")
	}
	for _, arg := range args {
		if err := f(arg.Key, arg.Value, at.field(arg.Key)); err != nil {
			return err
		}
	}
	return nil
}

// into decodes one value; null leaves the default.
func into(raw json.RawMessage, at place, dst any) error {
	if string(raw) == "null" {
		return nil
	}
	if err := json.Unmarshal(raw, dst); err != nil {
		return at.errorf("%s is not of the right type: want %s", raw, wantedType(dst))
	}
	return nil
}

// wantedType is what a value has to be.
func wantedType(dst any) string {
	switch dst.(type) {
	case *string:
		return "text"
	case *int, **int:
		return "a whole number"
	case *float64:
		return "a number"
	case *bool, **bool:
		return "true or false"
	}
	return "a mapping"
}

// kwargs decodes a mapping, or a list of pairs whose order counts.
func kwargs(raw json.RawMessage, at place, dst *state.Args) error {
	if !isList(raw) {
		return into(raw, at, dst)
	}
	var pairs [][]json.RawMessage
	if err := json.Unmarshal(raw, &pairs); err != nil {
		return at.errorf("want a mapping, or a list of [key, value]")
	}
	for i, p := range pairs {
		if len(p) != 2 {
			return at.item(i).errorf("want [key, value]")
		}
		var key string
		if err := into(p[0], at.item(i), &key); err != nil {
			return err
		}
		*dst = append(*dst, state.Arg{Key: key, Value: p[1]})
	}
	return nil
}
