package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dynctl/actors"
)

const explainLong = `Explain a field of a spec: what it means, its type, its default, the values that
it may have, and the fields below it. A reason of a condition, an event or an
exit can be explained as well.`

func (a *app) explainCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "explain model|server[.FIELD...] | REASON",
		Short:   "Explain a field of a spec, or a reason",
		Long:    explainLong,
		Example: "  dynctl explain model\n  dynctl explain model.spec.router.mode\n  dynctl explain SlugConflict",
		Args:    cobra.ExactArgs(1),

		ValidArgsFunction: completeExplain,
		RunE: func(_ *cobra.Command, args []string) error {
			if text := actors.ReasonText(args[0]); text != "" {
				_, err := fmt.Fprintf(a.out, "%s\n%s\n", args[0], wrap(text, "  ", a.width()))
				return err
			}
			node, err := lookup(args[0])
			if err != nil {
				return err
			}
			a.explain(args[0], node)
			return nil
		},
	}
}

// lookup walks from "model.spec.router" to its schema.
func lookup(path string) (schemaNode, error) {
	parts := strings.Split(path, ".")
	if parts[0] != "model" && parts[0] != "server" {
		return schemaNode{}, notFoundErr("nothing to explain at %q: begin with model or server, or name a reason", path)
	}
	doc, err := readSchema(parts[0])
	if err != nil {
		return schemaNode{}, err
	}
	var root schemaNode
	if err := json.Unmarshal(doc, &root); err != nil {
		return schemaNode{}, fmt.Errorf("schema %s: %w", parts[0], err)
	}
	node := root
	for i, part := range parts[1:] {
		j := slices.IndexFunc(node.Properties, func(p property) bool { return p.name == part })
		if j < 0 {
			at := strings.Join(parts[:i+1], ".")
			if len(node.Properties) == 0 {
				return schemaNode{}, notFoundErr("%s has no fields below it", at)
			}
			return schemaNode{}, notFoundErr("%s has no field %q: it has %s", at, part, strings.Join(node.Properties.names(), ", "))
		}
		node = node.Properties[j].node
	}
	return node, nil
}

func (a *app) explain(path string, n schemaNode) {
	fmt.Fprintf(a.out, "%s  %s\n", a.style.bold(path), typeText(n))
	if n.Description != "" {
		fmt.Fprintln(a.out, wrap(n.Description, "  ", a.width()))
	}
	if n.Default != nil {
		fmt.Fprintf(a.out, "  default: %s\n", n.Default)
	}
	if len(n.Properties) == 0 {
		return
	}
	fmt.Fprintln(a.out, "\nFields:")
	var t table
	for _, p := range n.Properties {
		required := ""
		if slices.Contains(n.Required, p.name) {
			required = " (required)"
		}
		t.add("  "+p.name, shortened(typeText(p.node))+required, defaultText(p.node))
	}
	t.write(a.out)
}

// typeText is the type of a field, or the values that it may have.
func typeText(n schemaNode) string {
	var values []string
	for _, v := range n.Enum {
		if text := strings.Trim(string(v), `"`); text != "null" {
			values = append(values, text)
		}
	}
	switch {
	case len(values) > 0:
		return strings.Join(values, " | ")
	case len(n.Type) == 0:
		return "any"
	}
	return strings.Join(n.Type, " | ")
}

// shortened keeps a long list of values from making the table too wide; explaining
// the field itself shows all.
func shortened(text string) string {
	const most = 40
	if len(text) <= most {
		return text
	}
	return text[:strings.LastIndex(text[:most], " | ")] + " | ..."
}

func defaultText(n schemaNode) string {
	if n.Default == nil || string(n.Default) == `""` {
		return ""
	}
	return "default " + string(n.Default)
}
