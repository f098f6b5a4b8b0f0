package state

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// JSONSchema is the JSON Schema (draft 2020-12) of a kind, from which editors
// complete and check a spec: KindServer or KindModel, or "" for a file that may
// hold either.
func JSONSchema(kind string) (json.RawMessage, error) {
	id := "urn:dynctl:schema:" + strings.ToLower(kind)
	if kind == "" {
		id += "spec"
	}
	definitions := schemaNode{}
	root := schemaNode{"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": id, "$defs": definitions}
	server := func() schemaNode {
		return withArguments(KindServer, objectSchema(reflect.TypeFor[Server](), KindServer, ""), definitions)
	}
	model := func() schemaNode {
		return withArguments(KindModel, objectSchema(reflect.TypeFor[Model](), KindModel, ""), definitions)
	}
	switch kind {
	case KindServer:
		maps.Copy(root, server())
	case KindModel:
		maps.Copy(root, model())
	case "":
		root["title"] = "Server or Model"
		root["oneOf"] = []schemaNode{server(), model()}
	default:
		return nil, fmt.Errorf("kind %q has no schema; there are %s and %s", kind, KindServer, KindModel)
	}
	return json.MarshalIndent(root, "", "  ")
}

// schemaNode is one schema; encoding/json writes its keys in sorted order.
type schemaNode map[string]any

// namePattern is that of validName, with the characters that only a model may hold.
const (
	serverNamePattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
	modelNamePattern  = "^[a-z0-9]([-_.a-z0-9]*[a-z0-9])?$"
	durationPattern   = "^([0-9]+(\\.[0-9]*)?(ns|us|µs|ms|s|m|h))+$"
)

// fieldSchema is what the schema of a field says beyond its Go type.
type fieldSchema struct {
	text     string
	enum     []string
	value    any // the default
	required bool
	extra    schemaNode
}

// objectSchema is the schema of a struct; path is where it stands in the document.
func objectSchema(t reflect.Type, kind, path string) schemaNode {
	properties := schemaNode{}
	var required []string
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		at := join(path, name)
		if hidden(kind, at) {
			continue
		}
		about, documented := describeField(kind, at)
		s := typeSchema(t.Field(i).Type, kind, at)
		if documented {
			about.into(s)
		}
		if about.required {
			required = append(required, name)
		}
		properties[name] = s
	}
	out := schemaNode{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		out["required"] = required
	}
	if path == "" {
		out["title"] = kind
	} else if path != "metadata" && path != "spec" {
		out = orNull(out)
	}
	return out
}

// hidden reports whether a field of a shared type does not belong to a kind.
func hidden(kind, path string) bool {
	return kind == KindServer && path == "metadata.server" ||
		kind == KindModel && strings.HasSuffix(path, ".placement.waitForNodes")
}

func (f fieldSchema) into(s schemaNode) {
	if f.text != "" {
		s["description"] = f.text
	}
	if f.enum != nil {
		s["enum"] = f.enum
		delete(s, "type")
	}
	if f.value != nil {
		s["default"] = f.value
	}
	maps.Copy(s, f.extra)
}

// orNull allows null, which means that the field is not set.
func orNull(s schemaNode) schemaNode {
	if typ, ok := s["type"].(string); ok {
		s["type"] = []string{typ, "null"}
	}
	return s
}

func typeSchema(t reflect.Type, kind, path string) schemaNode {
	switch t {
	case typeArgs:
		return orNull(schemaNode{"type": "object"})
	case typeEnv:
		source := func(key string) schemaNode {
			return schemaNode{
				"type": "object", "properties": schemaNode{key: schemaNode{"type": "string"}},
				"required": []string{key}, "additionalProperties": false,
			}
		}
		return orNull(schemaNode{"type": "object", "additionalProperties": schemaNode{
			"anyOf": []schemaNode{{"type": []string{"string", "number", "boolean"}}, source("fromFile"), source("fromEnv")},
		}})
	case typeTristate:
		return schemaNode{"enum": []any{"auto", true, false, nil}}
	case typeDuration:
		return schemaNode{"type": []string{"string", "null"}, "pattern": durationPattern}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeSchema(t.Elem(), kind, path)
	case reflect.Struct:
		return objectSchema(t, kind, path)
	case reflect.Map:
		return orNull(schemaNode{"type": "object", "additionalProperties": schemaNode{"type": "string"}})
	case reflect.String:
		return orNull(schemaNode{"type": "string"})
	case reflect.Bool:
		return orNull(schemaNode{"type": "boolean"})
	case reflect.Float64:
		return orNull(schemaNode{"type": "number"})
	}
	return orNull(schemaNode{"type": "integer"})
}

// describeField finds what is known of a field, by its path and kind.
func describeField(kind, path string) (fieldSchema, bool) {
	if f, ok := schemaFields[kind+":"+path]; ok {
		return f, true
	}
	for _, role := range []string{RolePrefill, RoleDecode} {
		if field, ok := strings.CutPrefix(path, "spec."+role+"."); ok {
			f, ok := roleFields[field]
			return f, ok
		}
	}
	f, ok := schemaFields[path]
	return f, ok
}

// modeEnum lists a word and the router modes, in both spellings.
func modeEnum(word string) []string {
	out := append([]string{word}, RouterModes()...)
	for _, mode := range RouterModes() {
		if other := strings.ReplaceAll(mode, "-", "_"); !slices.Contains(out, other) {
			out = append(out, other)
		}
	}
	return out
}
