package kube

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

// writeSchemas writes the JSON schemas that kubeconform checks manifests with: those of
// Kubernetes' own kinds from its OpenAPI document, and those of custom resources from
// their definitions. Unknown fields are errors.
func writeSchemas(out, swagger string, crds []string) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	if err := builtin(out, swagger); err != nil {
		return err
	}
	for _, crd := range crds {
		if err := custom(out, crd); err != nil {
			return fmt.Errorf("%s: %w", crd, err)
		}
	}
	return nil
}

type object = map[string]any

// builtin writes all definitions into one file and, for each kind, one that refers to it.
func builtin(out, swagger string) error {
	var doc struct {
		Definitions map[string]object `json:"definitions"`
	}
	if err := read(swagger, &doc); err != nil {
		return err
	}
	if len(doc.Definitions) == 0 {
		return fmt.Errorf("%s has no definitions", swagger)
	}
	for name, definition := range doc.Definitions {
		kinds, _ := definition["x-kubernetes-group-version-kind"].([]any)
		strict(definition)
		for _, k := range kinds {
			gvk, _ := k.(object)
			group, _ := gvk["group"].(string)
			version, _ := gvk["version"].(string)
			kind, _ := gvk["kind"].(string)
			if err := write(out, kind, group, version, object{"$ref": "_definitions.json#/definitions/" + name}); err != nil {
				return err
			}
		}
	}
	return writeFile(filepath.Join(out, "_definitions.json"), object{"definitions": doc.Definitions})
}

// custom writes one schema for each version of a custom resource.
func custom(out, crd string) error {
	var doc struct {
		Spec struct {
			Group string `json:"group"`
			Names struct {
				Kind string `json:"kind"`
			} `json:"names"`
			Versions []struct {
				Name   string `json:"name"`
				Schema struct {
					OpenAPI object `json:"openAPIV3Schema"`
				} `json:"schema"`
			} `json:"versions"`
		} `json:"spec"`
	}
	if err := read(crd, &doc); err != nil {
		return err
	}
	for _, v := range doc.Spec.Versions {
		schema := v.Schema.OpenAPI
		if schema == nil {
			return fmt.Errorf("version %s has no schema", v.Name)
		}
		strict(schema)
		if properties, ok := schema["properties"].(object); ok {
			properties["metadata"] = object{"$ref": "_definitions.json#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
		}
		if err := write(out, doc.Spec.Names.Kind, doc.Spec.Group, v.Name, schema); err != nil {
			return err
		}
	}
	return nil
}

// strict allows no field that is not declared, and what OpenAPI says in words of its own
// it says in those of JSON schemas.
func strict(schema object) {
	if schema["x-kubernetes-int-or-string"] == true || schema["format"] == "int-or-string" {
		delete(schema, "format")
		delete(schema, "anyOf")
		schema["type"] = []any{"integer", "string"}
	}
	if schema["nullable"] == true {
		if typ, ok := schema["type"].(string); ok {
			schema["type"] = []any{typ, "null"}
		}
	}
	properties, _ := schema["properties"].(object)
	if _, free := schema["additionalProperties"]; len(properties) > 0 && !free && schema["x-kubernetes-preserve-unknown-fields"] != true {
		schema["additionalProperties"] = false
	}
	for _, p := range properties {
		if p, ok := p.(object); ok {
			strict(p)
		}
	}
	for _, below := range []string{"items", "additionalProperties"} {
		if s, ok := schema[below].(object); ok {
			strict(s)
		}
	}
}

func read(path string, into any) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return yaml.Unmarshal(raw, into)
}

// write stores a schema under the name by which kubeconform asks for it, which takes the
// version of the core group for its name.
func write(out, kind, group, version string, schema object) error {
	name := strings.ToLower(kind) + "_" + strings.ToLower(cmp.Or(group, version)) + "_" + strings.ToLower(version) + ".json"
	return writeFile(filepath.Join(out, name), schema)
}

func writeFile(path string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(path, raw, 0o644)
}
