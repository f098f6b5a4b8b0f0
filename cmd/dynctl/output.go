package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"charm.land/lipgloss/v2"
	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
)

// format is the value of -o.
type format struct {
	value   string
	allowed []string
}

// Formats of -o.
const (
	formatTable = "table"
	formatJSON  = "json"
	formatYAML  = "yaml"
	formatName  = "name"
)

// outputFlag adds -o to a command; the first format is the default.
func outputFlag(cmd *cobra.Command, allowed ...string) *format {
	f := &format{value: allowed[0], allowed: allowed}
	cmd.Flags().VarP(f, "output", "o", "output format: "+strings.Join(allowed, ", "))
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(allowed, cobra.ShellCompDirectiveNoFileComp))
	return f
}

// String is the chosen format.
func (f *format) String() string { return f.value }

// Type names the flag's value in help texts.
func (f *format) Type() string { return "FORMAT" }

// Set takes one of the allowed formats.
func (f *format) Set(s string) error {
	for _, a := range f.allowed {
		if a == s {
			f.value = s
			return nil
		}
	}
	return fmt.Errorf("want one of %s", strings.Join(f.allowed, ", "))
}

// encode writes v as JSON or YAML; YAML has the same shape, because it is made
// from the JSON.
func (a *app) encode(f string, v any) error {
	doc, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode output: %w", err)
	}
	if f == formatYAML {
		if doc, err = jsonToYAML(doc); err != nil {
			return fmt.Errorf("encode output: %w", err)
		}
	}
	_, err = fmt.Fprintln(a.out, strings.TrimRight(string(doc), "\n"))
	return err
}

// jsonToYAML keeps the order of the keys.
func jsonToYAML(doc []byte) ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	v, err := ordered(dec)
	if err != nil {
		return nil, err
	}
	return yaml.MarshalWithOptions(v, yaml.Indent(2), yaml.UseLiteralStyleIfMultiline(true))
}

// ordered is the next value of a JSON text with its keys in their order. The YAML
// library would read JSON as well, in more than linear time.
func ordered(dec *json.Decoder) (any, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := token.(type) {
	case json.Number:
		return numberOf(t), nil
	case json.Delim:
		if t == '[' {
			return orderedList(dec)
		}
		return orderedMap(dec)
	}
	return token, nil
}

func orderedList(dec *json.Decoder) (any, error) {
	list := []any{}
	for dec.More() {
		v, err := ordered(dec)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	_, err := dec.Token()
	return list, err
}

func orderedMap(dec *json.Decoder) (any, error) {
	object := yaml.MapSlice{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		v, err := ordered(dec)
		if err != nil {
			return nil, err
		}
		object = append(object, yaml.MapItem{Key: key, Value: v})
	}
	_, err := dec.Token()
	return object, err
}

// numberOf is a number as YAML writes it; one that no Go number holds stays text.
func numberOf(n json.Number) any {
	if i, err := n.Int64(); err == nil {
		return i
	}
	if u, err := strconv.ParseUint(n.String(), 10, 64); err == nil {
		return u
	}
	if f, err := n.Float64(); err == nil {
		return f
	}
	return n.String()
}

// wrap breaks text into lines of at most width columns, each indented.
func wrap(text, indent string, width int) string {
	lines := breakLines(text, max(width-lipgloss.Width(indent), 20))
	for i, line := range lines {
		lines[i] = indent + line
	}
	return strings.Join(lines, "\n")
}

// breakLines breaks text between words: not at the hyphens of a flag or a name,
// which somebody may want to copy.
func breakLines(text string, width int) []string {
	const unbreakable = "\u2011"
	text = lipgloss.Wrap(strings.ReplaceAll(text, "-", unbreakable), width, "")
	lines := strings.Split(strings.ReplaceAll(text, unbreakable, "-"), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " ")
	}
	return lines
}
