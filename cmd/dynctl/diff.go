package main

import (
	"bytes"
	"context"
	"fmt"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"dynctl/state"
	"dynctl/state/kv"
)

func (a *app) diffCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "diff FILE...",
		Short: "Show what set would change in the store",
		Long: `Show, as a unified diff, what set would change in the store. Nothing is written.
For what would start and stop see plan.

Exit code 1: there is a difference.`,
		Example: "  dynctl diff model.yaml\n  dynctl diff models/ && echo nothing to do",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			sources, err := a.readSources(cmd.Context(), args)
			if err != nil {
				return err
			}
			docs, err := decodeSources(cmd.Context(), sources)
			if err != nil {
				return err
			}
			return a.withClient(cmd.Context(), func(c *kv.Client) error {
				return a.diff(cmd.Context(), c, docs)
			})
		},
	}
}

func (a *app) diff(ctx context.Context, c *kv.Client, docs []state.Doc) error {
	have, err := loadDeclared(ctx, c)
	if err != nil {
		return err
	}
	if err := have.validate(docs); err != nil {
		return err
	}
	differs := false
	for _, doc := range docs {
		key := doc.Key()
		var old []byte
		name := "/dev/null"
		if e, ok := have.stored[key]; ok {
			name = fmt.Sprintf("%s (revision %d)", refOf(key), e.Revision)
			if old = e.Value; have.raw[key] != nil {
				if old, err = jsonToYAML(state.RedactDocument(have.raw[key])); err != nil {
					return fmt.Errorf("encode %s: %w", refOf(key), err)
				}
			}
		}
		text, err := jsonToYAML(state.RedactDocument(doc.Raw))
		if err != nil {
			return fmt.Errorf("encode %s: %w", refOf(key), err)
		}
		if bytes.Equal(text, old) && !bytes.Equal(doc.Raw, have.raw[key]) {
			text = append(text, otherSecret...)
		}
		if d := diff.Diff(name, old, fmt.Sprintf("%s:%d", doc.File, doc.Line), text); d != nil {
			differs = true
			a.printDiff(d)
		}
	}
	if differs {
		return errDifference
	}
	return nil
}

// otherSecret stands for a difference that is not shown.
const otherSecret = "# another password or token in a URL\n"

// printDiff leaves out the line that repeats the command, and colours the rest.
func (a *app) printDiff(d []byte) {
	for i, line := range bytes.Split(bytes.TrimRight(d, "\n"), []byte("\n")) {
		text := string(line)
		switch {
		case i == 0 && bytes.HasPrefix(line, []byte("diff ")):
			continue
		case len(line) > 0 && line[0] == '+':
			text = a.style.good(text)
		case len(line) > 0 && line[0] == '-':
			text = a.style.bad(text)
		}
		fmt.Fprintln(a.out, text)
	}
}
