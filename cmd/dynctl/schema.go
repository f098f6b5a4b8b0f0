package main

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/events"
	"dynctl/state"
	"dynctl/state/policy"
)

// schemaFiles are the published JSON Schemas of what -o json prints, generated from
// the Go types (go test ./cmd/dynctl -run TestSchemas -update). Those of the specs
// come from package state, that of an event from package events.
//
//go:embed schemas/*.json
var schemaFiles embed.FS

// schemaNames are the names that schema prints, sorted.
func schemaNames() []string {
	files, err := fs.Glob(schemaFiles, "schemas/*.json")
	if err != nil {
		panic("embedded schemas: " + err.Error())
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(strings.TrimPrefix(f, "schemas/"), ".json")
	}
	for name := range specKinds {
		files = append(files, name)
	}
	files = append(files, eventSchema, policySchema)
	slices.Sort(files)
	return files
}

// eventSchema is the name of the schema of one line of `dynctl events -o json`.
const eventSchema = "event"

// policySchema is the name of the schema of a policy's file; that of what the verb
// prints is policy-test.
const policySchema = "policy"

// specKinds are the kinds of specs by the names of their schemas.
var specKinds = map[string]string{"model": state.KindModel, "server": state.KindServer, "spec": ""}

func readSchema(name string) ([]byte, error) {
	if kind, ok := specKinds[name]; ok {
		doc, err := state.JSONSchema(kind)
		return append(doc, '\n'), err
	}
	if name == eventSchema || name == "events" { // as the verb is called
		return events.Schema(), nil
	}
	if name == policySchema {
		doc, err := policy.Schema()
		return append(doc, '\n'), err
	}
	doc, err := schemaFiles.ReadFile("schemas/" + name + ".json")
	if err != nil {
		return nil, exit.NotFoundf("no schema %q: there are %s", name, strings.Join(schemaNames(), ", "))
	}
	return doc, nil
}

func (a *app) schemaCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "schema [NAME]",
		Short: "Print the JSON Schema of a spec or of an output",
		Long: `Print the JSON Schema (draft 2020-12) of a spec (model, server, or spec for
either) or of what a verb prints with -o json (models, servers, units, nodes,
status, ...). Without a name: the names.

An editor with the YAML language server completes and checks a spec whose first
line is

  # yaml-language-server: $schema=spec.schema.json`,
		Example:   "  dynctl schema\n  dynctl schema spec > spec.schema.json\n  dynctl schema units",
		Args:      cobra.MaximumNArgs(1),
		ValidArgs: schemaNames(),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				_, err := fmt.Fprintln(a.out, strings.Join(schemaNames(), "\n"))
				return err
			}
			doc, err := readSchema(args[0])
			if err != nil {
				return err
			}
			_, err = a.out.Write(doc)
			return err
		},
	}
}

// schemaNode is the part of the schema of a spec that explain reads.
type schemaNode struct {
	Type        typeNames         `json:"type"`
	Description string            `json:"description"`
	Default     json.RawMessage   `json:"default"`
	Enum        []json.RawMessage `json:"enum"`
	Required    []string          `json:"required"`
	Properties  properties        `json:"properties"`
}

// typeNames are the types that a value may have, without null.
type typeNames []string

// UnmarshalJSON takes one name or a list.
func (t *typeNames) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*t = typeNames{one}
		return nil
	}
	var many []string
	err := json.Unmarshal(data, &many)
	*t = slices.DeleteFunc(many, func(s string) bool { return s == "null" })
	return err
}

// properties keep the order of the schema, which is that of the fields.
type properties []property

type property struct {
	name string
	node schemaNode
}

// UnmarshalJSON keeps the order of the keys.
func (p *properties) UnmarshalJSON(data []byte) error {
	var args state.Args
	if err := json.Unmarshal(data, &args); err != nil {
		return err
	}
	for _, arg := range args {
		var n schemaNode
		if err := json.Unmarshal(arg.Value, &n); err != nil {
			return err
		}
		*p = append(*p, property{arg.Key, n})
	}
	return nil
}

func (p properties) names() []string {
	var names []string
	for _, x := range p {
		names = append(names, x.name)
	}
	return names
}
