package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/cmd/dynctl/internal/prose"
	"dynctl/cmd/internal/verdict"
	"dynctl/state"
	"dynctl/state/kv"
)

const getExample = `  dynctl get models
  dynctl get model qwen3-8b -o yaml
  dynctl get units -o json
  dynctl get nodes`

// kinds are what get lists, by every spelling.
var kinds = map[string]string{
	"servers": "servers", "server": "servers",
	"models": "models", "model": "models",
	"units": "units", "unit": "units",
	"nodes": "nodes", "node": "nodes",
}

func (a *app) getCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:               "get servers|models|units|nodes [NAME...]",
		Short:             "List objects, units or nodes",
		Long:              "List what is declared (servers, models), what runs (units) and where (nodes).\n\nThe shapes of -o json are published: see `dynctl schema`.",
		Example:           getExample,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeGet,
	}
	out := outputFlag(cmd, formatTable, formatJSON, formatYAML, formatName)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		kind, names := args[0], args[1:]
		if k, name, ok := strings.Cut(kind, "/"); ok {
			kind, names = k, append([]string{name}, names...)
		}
		plural, ok := kinds[kind]
		if !ok {
			if here := habit(habitualKinds, kind); here != "" {
				return exit.Usagef("cannot get %q%s", kind, here)
			}
			return exit.Usagef("cannot get %q: want servers, models, units or nodes", kind)
		}
		return a.withClient(cmd.Context(), func(c *kv.Client) error {
			return a.get(cmd.Context(), c, plural, names, out.value)
		})
	}
	return cmd
}

// listing is what one kind of get prints, in every format.
type listing struct {
	items any // what -o json prints
	names []string
	table table
}

func (a *app) get(ctx context.Context, c *kv.Client, kind string, names []string, f string) error {
	var l listing
	var err error
	switch kind {
	case "units":
		l, err = a.getUnits(ctx, c, names)
	case "nodes":
		l, err = a.getNodes(ctx, c, names)
	case "servers":
		l, err = a.getObjects(ctx, c, state.KindServer, names)
	default:
		l, err = a.getObjects(ctx, c, state.KindModel, names)
	}
	switch {
	case err != nil:
		return err
	case f == formatJSON || f == formatYAML:
		return a.encode(f, l.items)
	case f == formatName:
		for _, n := range l.names {
			fmt.Fprintln(a.out, n)
		}
	case len(l.names) == 0:
		a.progress("no %s", kind)
	default:
		l.table.write(a.out)
		if kind == "models" || kind == "servers" {
			a.noteNoLeader(ctx, c)
		} else {
			a.noteSilentAgent(ctx, c, kind)
		}
	}
	return nil
}

// noteNoLeader tells whoever reads a table where states are the last that were told.
func (a *app) noteNoLeader(ctx context.Context, c *kv.Client) {
	if _, err := c.GetLeader(ctx); errors.Is(err, kv.ErrNotFound) {
		fmt.Fprintln(a.err, nobodyLeads)
	}
}

// noteSilentAgent does the same for what the agent reports.
func (a *app) noteSilentAgent(ctx context.Context, c *kv.Client, kind string) {
	agent, err := c.GetAgent(ctx)
	if err == nil && a.now().Sub(agent.At) > verdict.AgentSilence {
		fmt.Fprintf(a.err, "the agent has been silent for %s, and what is said of %s is as it was then: see dynctl doctor\n", prose.Age(a.now(), agent.At), kind)
	}
}

// selectNamed keeps the items that are named; without names, all. A name that
// nothing bears is an error.
func selectNamed[T any](kind string, items []T, names []string, nameOf func(T) string) ([]T, error) {
	if len(names) == 0 {
		return items, nil
	}
	var kept []T
	for _, item := range items {
		if slices.Contains(names, nameOf(item)) {
			kept = append(kept, item)
		}
	}
	for _, n := range names {
		if !slices.ContainsFunc(kept, func(i T) bool { return nameOf(i) == n }) {
			return nil, exit.NotFoundf("%s/%s not found (see `dynctl get %ss`)", kind, n, kind)
		}
	}
	return kept, nil
}

func (a *app) getNodes(ctx context.Context, c *kv.Client, names []string) (listing, error) {
	nodes, err := c.ListNodes(ctx)
	if err != nil {
		return listing{}, exit.Stored(err)
	}
	nodes, err = selectNamed("node", nodes, names, func(n state.Node) string { return n.ID })
	for i := range nodes { // tables are for the reconciler, and long
		nodes[i].Parsers = maps.Clone(nodes[i].Parsers)
		for program, p := range nodes[i].Parsers {
			p.Table = ""
			nodes[i].Parsers[program] = p
		}
	}
	l := listing{items: orEmpty(nodes)}
	l.table.add("NODE", "IP", "GPUS", "FREE GPUS", "CPUS", "FREE CPUS", "HEAD", "ALIVE")
	for _, n := range nodes {
		l.names = append(l.names, "node/"+n.ID)
		l.table.add(prose.ShortID(n.ID), n.IP, fmt.Sprint(n.GPUs), free(n.FreeGPUs), fmt.Sprint(n.CPUs), free(n.FreeCPUs), yesNo(n.Head), yesNo(n.Alive))
	}
	return l, err
}

func free(n *float64) string {
	if n == nil {
		return "-"
	}
	return fmt.Sprintf("%g", *n)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// oneServer reports whether all items are of one server, whose name a narrow screen can
// then do without.
func oneServer[T any](items []T, serverOf func(T) string) bool {
	for _, item := range items {
		if serverOf(item) != serverOf(items[0]) {
			return false
		}
	}
	return true
}

// orEmpty keeps a list without items from becoming null in JSON.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
