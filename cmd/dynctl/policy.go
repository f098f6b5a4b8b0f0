package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/cmd/dynctl/internal/prose"
	"dynctl/state"
	"dynctl/state/policy"
)

// verdictInfo is one item of `dynctl policy test -o json`: what the policy says of one
// document.
type verdictInfo struct {
	Key  string `json:"key"`
	File string `json:"file"`
	// Line is where the document begins.
	Line    int  `json:"line"`
	Allowed bool `json:"allowed"`
	// Denials are the places that a rule denies.
	Denials []placedDenial `json:"denials"`
}

// placedDenial is a denial with its place in the file.
type placedDenial struct {
	// Path is the field, such as spec.env.LD_PRELOAD.
	Path string `json:"path"`
	// Rule is the rule that denies it: one of the file, or of the defaults.
	Rule string `json:"rule"`
	// Message says why, and what would allow it.
	Message string `json:"message"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
}

func (a *app) policyCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Say what a policy would do to specs",
		Long: `A policy is what the reconciler lets specs ask for: engines, models, arguments,
variables, keys of runtimeEnv, files and variables of the nodes, GPUs and models a
server. It stands in a file (reconciler --policy; "dynctl schema policy" is its
schema) over defaults that close the known ways to execute code.`,
		Example: "  dynctl policy test model.yaml --policy policy.yaml",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.policyTestCmd())
	return cmd
}

func (a *app) policyTestCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "test FILE...",
		Short: "Say which documents a policy would deny, and by which rule",
		Long: `Say which documents a policy would deny, where, and by which rule. It needs no
server: limits count the documents alone, in the order of their names.

Exit code 0: all are allowed; 1: at least one is denied; 2: a document or the
policy is not valid.`,
		Example: "  dynctl policy test model.yaml\n  dynctl policy test specs/ --policy policy.yaml -o json",
		Args:    cobra.MinimumNArgs(1),
	}
	file := cmd.Flags().String("policy", "", "file of the policy; without it the defaults")
	out := outputFlag(cmd, formatTable, formatJSON, formatYAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		verdicts, err := a.judge(cmd.Context(), *file, args)
		if err != nil {
			return err
		}
		if out.value == formatTable {
			a.printVerdicts(verdicts)
		} else if err := a.encode(out.value, verdicts); err != nil {
			return err
		}
		for _, v := range verdicts {
			if !v.Allowed {
				return errDifference
			}
		}
		return nil
	}
	return cmd
}

// judge holds the documents of files against a policy.
func (a *app) judge(ctx context.Context, file string, args []string) ([]verdictInfo, error) {
	p, err := readPolicyFile(file)
	if err != nil {
		return nil, err
	}
	sources, err := a.readSources(ctx, args)
	if err != nil {
		return nil, err
	}
	docs, err := decodeSources(ctx, sources)
	if err != nil {
		return nil, err
	}
	verdicts := make([]verdictInfo, 0, len(docs))
	used := map[string]policy.Usage{} // by server
	for _, doc := range docs {
		v := verdictInfo{Key: doc.Key().String(), File: doc.File, Line: doc.Line, Allowed: true, Denials: []placedDenial{}}
		for _, d := range deniedIn(p, doc, used) {
			line, column, _ := state.Locate(doc, d.Path)
			v.Denials = append(v.Denials, placedDenial{Path: d.Path, Rule: d.Rule, Message: d.Message, Line: line, Column: column})
			v.Allowed = false
		}
		verdicts = append(verdicts, v)
	}
	return verdicts, nil
}

func readPolicyFile(file string) (*policy.Policy, error) {
	if file == "" {
		return policy.Default(), nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, exit.Usagef("--policy: %w", err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, state.MaxValueSize+1))
	if err != nil {
		return nil, exit.Usagef("--policy: %w", err)
	}
	p, err := policy.Parse(file, raw)
	if err != nil {
		return nil, exit.Usagef("%w", err)
	}
	return p, nil
}

// deniedIn is what a policy denies of a document; one that is allowed takes its part of
// its server's limits.
func deniedIn(p *policy.Policy, doc state.Doc, used map[string]policy.Usage) []policy.Denial {
	if s := doc.Object.Server; s != nil {
		return p.Server(s.WithDefaults())
	}
	m := doc.Object.Model.WithDefaults()
	server, asks := m.Metadata.Server, policy.UsageOf(m)
	found := append(p.Model(m), p.Room(asks, policy.Usage{}, used[server])...)
	if len(found) == 0 {
		used[server] = used[server].Add(asks)
	}
	return found
}

func (a *app) printVerdicts(verdicts []verdictInfo) {
	var t table
	t.add("OBJECT", "VERDICT", "AT", "RULE", "WHY")
	for _, v := range verdicts {
		name := v.Key
		if key, err := state.ParseKey(v.Key); err == nil {
			name = refOf(key).String()
		}
		if v.Allowed {
			t.add(name, "allowed", fmt.Sprintf("%s:%d", v.File, v.Line), prose.OrDash(""), "")
		}
		for _, d := range v.Denials {
			t.add(name, "denied", fmt.Sprintf("%s:%d", v.File, d.Line), d.Rule, d.Path+": "+d.Message)
		}
	}
	t.write(a.out)
}
