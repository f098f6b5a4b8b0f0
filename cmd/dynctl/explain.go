package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/state"
)

const explainLong = `Explain a field of a spec: what it means, its type, its default, the values that
it may have, and the fields below it. A field may be named by its end alone. A
reason of a condition, an event or an exit, a condition and the type of an event
can be explained as well. Case does not matter.

An argument of an engine (engineArgs.NAME, dynamoArgs.NAME) or of the frontend
(frontend.args.NAME, router.args.NAME) is explained as the program's own parser
has it, under any of its names: what it takes, its choices and default, and how it
stands on the command line. Without --engine every engine has its say.`

const explainExample = `  dynctl explain model
  dynctl explain model.spec.router.mode
  dynctl explain replicas
  dynctl explain SlugConflict
  dynctl explain unit-exited
  dynctl explain engineArgs.max_model_len --engine vllm
  dynctl explain engineArgs --engine sglang -o json`

func (a *app) explainCmd() *cobra.Command {
	var engine string
	cmd := &cobra.Command{
		Use:     "explain KIND[.FIELD...]|FIELD|REASON|CONDITION|EVENT",
		Short:   "Explain a field of a spec, a reason, a condition or an event",
		Long:    explainLong,
		Example: explainExample,
		Args:    cobra.ExactArgs(1),

		ValidArgsFunction: completeExplain,
	}
	out := outputFlag(cmd, formatTable, formatJSON, formatYAML)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if out.value != formatTable {
			all, err := explanations(args[0], engine)
			if err != nil {
				return err
			}
			return a.encode(out.value, all)
		}
		if found := termsNamed(args[0]); len(found) > 0 && engine == "" {
			a.explainTerms(found)
			return nil
		}
		if done, err := a.explainArgs(args[0], engine); done {
			return err
		}
		return a.explainFields(args[0])
	}
	cmd.Flags().StringVar(&engine, "engine", "", "the engine whose arguments are meant: "+strings.Join(state.Engines(), ", "))
	offerFlag(cmd, "engine", cobra.FixedCompletions(state.Engines(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// explainFields explains the fields that a path names, or its end.
func (a *app) explainFields(path string) error {
	found, others, err := findFields(path)
	if err != nil {
		return err
	}
	for i, f := range found {
		if i > 0 {
			fmt.Fprintln(a.out)
		}
		a.explain(f.path, f.node)
	}
	if len(others) > 0 {
		fmt.Fprintf(a.out, "\n%s\n", wrap("See also "+strings.Join(others, ", "), "", a.width()))
	}
	return nil
}

func (a *app) explainTerms(found []vocable) {
	for _, t := range found {
		fmt.Fprintf(a.out, "%s  %s\n%s\n", a.style.bold(t.word), t.kind, wrap(t.text, "  ", a.width()))
		if t.see != "" {
			fmt.Fprintf(a.out, "  see: %s\n", t.see)
		}
	}
}

// fieldAt is a field of a spec with its path.
type fieldAt struct {
	path string
	node schemaNode
}

func (f fieldAt) depth() int { return strings.Count(f.path, ".") }

// allFields are the fields of both kinds, in the order of the schema.
func allFields() ([]fieldAt, error) {
	var out []fieldAt
	var walk func(path string, n schemaNode)
	walk = func(path string, n schemaNode) {
		out = append(out, fieldAt{path, n})
		for _, p := range n.Properties {
			walk(path+"."+p.name, p.node)
		}
	}
	for _, kind := range []string{"model", "server"} {
		doc, err := readSchema(kind)
		if err != nil {
			return nil, err
		}
		var root schemaNode
		if err := json.Unmarshal(doc, &root); err != nil {
			return nil, fmt.Errorf("schema %s: %w", kind, err)
		}
		walk(kind, root)
	}
	return out, nil
}

// findFields are the fields that a path names, or its end: those nearest to the top,
// and the paths of the others.
func findFields(path string) (found []fieldAt, others []string, err error) {
	all, err := allFields()
	if err != nil {
		return nil, nil, err
	}
	end := "." + strings.ToLower(path)
	top := -1
	for _, f := range all {
		if strings.EqualFold(f.path, path) {
			return []fieldAt{f}, nil, nil
		}
		if strings.HasSuffix(strings.ToLower(f.path), end) {
			found = append(found, f)
			if top < 0 || f.depth() < top {
				top = f.depth()
			}
		}
	}
	if len(found) == 0 {
		return nil, nil, noSuchField(path, all)
	}
	for _, f := range found {
		if f.depth() > top {
			others = append(others, f.path)
		}
	}
	found = slices.DeleteFunc(found, func(f fieldAt) bool { return f.depth() > top })
	return found, others, nil
}

// noSuchField says how far a path leads and what was probably meant.
func noSuchField(path string, all []fieldAt) error {
	parts := strings.Split(path, ".")
	for i := len(parts) - 1; i > 0; i-- {
		at := strings.Join(parts[:i], ".")
		for _, f := range all {
			if !strings.EqualFold(f.path, at) && !strings.HasSuffix(strings.ToLower(f.path), "."+strings.ToLower(at)) {
				continue
			}
			names := f.node.Properties.names()
			if len(names) == 0 {
				return exit.NotFoundf("%s has no fields below it", f.path)
			}
			if best := state.Nearest(parts[i], names); best != "" {
				return exit.NotFoundf("%s has no field %q: did you mean %s.%s?", f.path, parts[i], f.path, best)
			}
			return exit.NotFoundf("%s has no field %q: it has %s", f.path, parts[i], strings.Join(names, ", "))
		}
	}
	var words []string
	for _, t := range terms() {
		words = append(words, t.word)
	}
	for _, f := range all {
		words = append(words, f.path[strings.LastIndexByte(f.path, '.')+1:])
	}
	if best := state.Nearest(path, words); best != "" {
		return exit.NotFoundf("nothing to explain at %q: did you mean %s?", path, best)
	}
	return exit.NotFoundf("nothing to explain at %q: begin with model or server, or name a field, a reason, a condition or an event", path)
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
