package main

import (
	"encoding/json"
	"slices"

	"dynctl/state"
	"dynctl/state/engineflags"
)

// Kinds of what explain explains.
const (
	kindField    = "field"
	kindArgument = "argument"
)

// explanation is what `dynctl explain -o json` says of one thing.
type explanation struct {
	// Kind is field, argument, reason, condition or event.
	Kind string `json:"kind"`
	// Name is the word, or the path of a field or an argument.
	Name string `json:"name"`
	Text string `json:"text,omitempty"`
	// See is the command that shows where it occurs.
	See string `json:"see,omitempty"`
	// Type are the types that a value may have.
	Type []string `json:"type,omitempty"`
	// Values are the only ones that it may have, where there are any.
	Values   []json.RawMessage `json:"values,omitempty"`
	Default  json.RawMessage   `json:"default,omitempty"`
	Required bool              `json:"required,omitempty"`
	// Program is the one whose argument it is: an engine, or the frontend.
	Program string `json:"program,omitempty"`
	// Source are the program and the versions that the argument was read from.
	Source string `json:"source,omitempty"`
	// Takes says in words what a value may be.
	Takes       string   `json:"takes,omitempty"`
	OtherNames  []string `json:"otherNames,omitempty"`
	CommandLine string   `json:"commandLine,omitempty"`
	// Off says how a switch is turned off.
	Off string `json:"off,omitempty"`
	// Managed: dynctl sets it itself, and arguments may not name it.
	Managed bool `json:"managed,omitempty"`
	// Instead is the field to use for what is managed, where there is one.
	Instead string `json:"instead,omitempty"`
	// Fields are those below a field; Arguments the ones that it may hold.
	Fields    []explanation `json:"fields,omitempty"`
	Arguments []explanation `json:"arguments,omitempty"`
}

// explanations are what a path or a word stands for: at least one.
func explanations(path, engine string) ([]explanation, error) {
	var out []explanation
	if engine == "" {
		for _, t := range termsNamed(path) {
			out = append(out, explanation{Kind: t.kind, Name: t.word, Text: t.text, See: t.see})
		}
	}
	if len(out) > 0 {
		return out, nil
	}
	field, key, programs, err := argsAt(path, engine)
	switch {
	case err != nil:
		return nil, err
	case key != "":
		known, _, err := argumentOf(field, key, programs)
		return known, err
	}
	found, _, err := findFields(path)
	if err != nil {
		return nil, err
	}
	for _, f := range found {
		x := fieldExplanation(f.path, f.node)
		for _, p := range f.node.Properties {
			below := fieldExplanation(f.path+"."+p.name, p.node)
			below.Required = slices.Contains(f.node.Required, p.name)
			x.Fields = append(x.Fields, below)
		}
		for _, program := range programs {
			for _, a := range state.Arguments(program) {
				if known, ok := findArgument(program, a.Key()); ok {
					x.Arguments = append(x.Arguments, argumentExplanation(f.path, program, known))
				}
			}
		}
		out = append(out, x)
	}
	return out, nil
}

func fieldExplanation(path string, n schemaNode) explanation {
	return explanation{Kind: kindField, Name: path, Text: n.Description, Type: n.Type, Values: n.Enum, Default: n.Default}
}

func argumentExplanation(field, program string, f engineflags.Found) explanation {
	x := explanation{
		Kind: kindArgument, Name: field + "." + f.Key(), Type: []string{string(f.Kind)},
		Program: program, Source: programSource(program), CommandLine: f.OnTheLine(),
	}
	x.Instead, x.Managed = state.ManagedArgument(program, f)
	if f.Path != "" {
		x.Name += "." + f.Path
		x.Takes = "one key of the object that " + f.Key() + " takes; the program knows which"
		x.CommandLine = "--" + f.Name() + "." + f.Path + " VALUE"
		return x
	}
	for _, word := range f.Choices {
		value, _ := json.Marshal(word) // text always can be written
		x.Values = append(x.Values, value)
	}
	x.Takes, x.Default, x.OtherNames, x.Off = f.Wants(), f.Default, f.Aliases(), f.SwitchedOff()
	return x
}
