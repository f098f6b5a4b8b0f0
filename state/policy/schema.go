package policy

import (
	"encoding/json"

	"dynctl/state"
)

type node map[string]any

// Schema is the JSON Schema (draft 2020-12) of a policy's file.
func Schema() (json.RawMessage, error) {
	return json.MarshalIndent(node{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "urn:dynctl:schema:policy", "title": Kind,
		"type": "object", "required": []string{"apiVersion", "kind"}, "additionalProperties": false,
		"properties": node{
			"apiVersion": node{"enum": []string{state.APIVersion}},
			"kind":       node{"enum": []string{Kind}},
			"engines":    section("spec.engine of models.", "only", "deny"),
			"models":     section("Beginnings of spec.model; end them with / to mean an owner or a directory.", "only", "deny"),
			"arguments": section("Keys of engineArgs, dynamoArgs, frontend.args and router.args; what is denied is denied inside of values and connectors too.",
				"only", "allow", "deny"),
			"env":        section("Names of variables.", "only", "allow", "deny"),
			"runtimeEnv": section("Keys of Ray's runtime_env.", "only", "allow", "deny", "urls"),
			"fromFile":   section("Where files lie that env may read.", "roots"),
			"fromEnv":    section("Names of the variables of a node that env may read.", "only", "deny"),
			"limits": object("What one server may hold.", node{
				"gpus":   node{"type": []string{"integer", "null"}, "minimum": 0, "description": "GPUs of all replicas of its models; left out: any number."},
				"models": node{"type": []string{"integer", "null"}, "minimum": 0, "description": "Its models; left out: any number."},
			}),
		},
	}, "", "  ")
}

// listTexts are what the lists of a section mean.
var listTexts = map[string]string{
	"only":  "Patterns (* stands for any text) of what alone is allowed; left out: everything.",
	"allow": "Patterns of what the defaults deny and this policy does not.",
	"deny":  "Patterns of what is not allowed; this has the last word.",
	"urls":  "Beginnings of URLs, each with a / behind the host, from which working_dir and py_modules may come; left out: none.",
	"roots": "Directories; left out: /run/secrets and /etc/dynctl. An empty list: no file at all.",
}

func section(text string, lists ...string) node {
	properties := node{}
	for _, name := range lists {
		properties[name] = node{
			"type": []string{"array", "null"}, "description": listTexts[name], "maxItems": maxEntries,
			"items": node{"type": "string", "minLength": 1, "maxLength": maxEntry},
		}
	}
	return object(text, properties)
}

func object(text string, properties node) node {
	return node{"type": []string{"object", "null"}, "description": text, "properties": properties, "additionalProperties": false}
}
