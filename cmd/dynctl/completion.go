package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"dynctl/actors"
	"dynctl/actors/plan"
	"dynctl/cmd/dynctl/internal/prose"
	"dynctl/state"
	"dynctl/state/kv"
)

// completionTimeout is how long a person who presses TAB waits at most, for the
// connection and the answers together.
const completionTimeout = time.Second

// offer is what is being completed.
type offer struct {
	args  []string // what stands before it
	typed string
}

// offering completes with what the store holds. Whatever goes wrong, there is just
// nothing to offer: TAB is no place for errors.
func (a *app) offering(names func(ctx context.Context, c *kv.Client, o offer) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		return a.offered(cmd, offer{args, typed}, names), cobra.ShellCompDirectiveNoFileComp
	}
}

func (a *app) offered(cmd *cobra.Command, o offer, names func(ctx context.Context, c *kv.Client, o offer) []string) []string {
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
	defer cancel()
	conn, err := a.conn.resolve()
	if err != nil {
		return nil
	}
	// The time is for all the servers of a list; and a name that does not resolve is
	// waited for by the dialler, which has a limit.
	each := completionTimeout / time.Duration(1+strings.Count(conn.NATSURL, ","))
	c, err := kv.Connect(ctx, conn.NATSURL, append(conn.Options(), nats.Timeout(each), nats.SkipHostLookup())...)
	if err != nil {
		return nil
	}
	defer c.Close()
	found := names(ctx, c, o)
	return slices.DeleteFunc(found, func(name string) bool { return slices.Contains(o.args, name) })
}

// offerFlag completes the value of a flag.
func offerFlag(cmd *cobra.Command, name string, f cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(name, f); err != nil {
		panic("completion of --" + name + ": " + err.Error())
	}
}

// limited offers nothing once a verb has all the arguments that it takes.
func limited(f cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if cmd.Args != nil && cmd.Args(cmd, append(slices.Clone(args), typed)) != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return f(cmd, args, typed)
	}
}

// completing offers the names of objects of some kinds.
func (a *app) completing(kinds ...string) cobra.CompletionFunc {
	return limited(func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		return a.completeRefs(cmd, offer{args, typed}, kinds), cobra.ShellCompDirectiveNoFileComp
	})
}

// completingFirst is completing where only the first argument is an object.
func (a *app) completingFirst(kinds ...string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.completeRefs(cmd, offer{args, typed}, kinds), cobra.ShellCompDirectiveNoFileComp
	}
}

// completingOrFiles offers files besides the names of objects.
func (a *app) completingOrFiles(kinds ...string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		return a.completeRefs(cmd, offer{args, typed}, kinds), cobra.ShellCompDirectiveDefault
	}
}

func (a *app) completeRefs(cmd *cobra.Command, o offer, kinds []string) []string {
	return a.offered(cmd, o, func(ctx context.Context, c *kv.Client, o offer) []string {
		return a.refNames(ctx, c, o, kinds...)
	})
}

// refNames are objects as model/NAME and server/NAME; a model also as its bare
// name, once a person has begun with that.
func (a *app) refNames(ctx context.Context, c *kv.Client, o offer, kinds ...string) []string {
	keys, err := allKeys(ctx, c)
	if err != nil {
		return nil
	}
	bare := !slices.ContainsFunc([]string{"model/", "server/"}, func(kind string) bool { return strings.HasPrefix(kind, o.typed) })
	var names []string
	for _, k := range keys {
		if !slices.Contains(kinds, k.Kind) || k.Kind == state.KindModel && a.conn.server != "" && a.conn.server != k.Server {
			continue
		}
		names = append(names, refOf(k).String())
		if bare && k.Kind == state.KindModel && strings.HasPrefix(k.Name, o.typed) {
			names = append(names, k.Name)
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(names)))
}

func (a *app) modelNames(ctx context.Context, c *kv.Client, _ offer) []string {
	return a.keyNames(ctx, c, func(k state.Key) string {
		if a.conn.server != "" && a.conn.server != k.Server {
			return ""
		}
		return k.Name
	})
}

// serverNames are the servers that are declared or have models.
func (a *app) serverNames(ctx context.Context, c *kv.Client, _ offer) []string {
	return a.keyNames(ctx, c, func(k state.Key) string { return k.Server })
}

func (a *app) keyNames(ctx context.Context, c *kv.Client, nameOf func(state.Key) string) []string {
	keys, err := allKeys(ctx, c)
	if err != nil {
		return nil
	}
	var names []string
	for _, k := range keys {
		if name := nameOf(k); name != "" {
			names = append(names, name)
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(names)))
}

func (a *app) unitNames(ctx context.Context, c *kv.Client) []string {
	units, err := c.ListUnits(ctx)
	if err != nil {
		return nil
	}
	var names []string
	for _, u := range units {
		if a.conn.server == "" || a.conn.server == u.Server {
			names = append(names, u.Unit)
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(names)))
}

// completeGet offers the kinds, then the names of one.
func (a *app) completeGet(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return []string{"servers", "models", "units", "nodes"}, cobra.ShellCompDirectiveNoFileComp
	}
	kind, _, _ := strings.Cut(args[0], "/")
	return a.offered(cmd, offer{args, typed}, func(ctx context.Context, c *kv.Client, o offer) []string {
		switch kinds[kind] {
		case "servers":
			return a.serverNames(ctx, c, o)
		case "models":
			return a.modelNames(ctx, c, o)
		case "units":
			return a.unitNames(ctx, c)
		case "nodes":
			return nodeNames(ctx, c)
		}
		return nil
	}), cobra.ShellCompDirectiveNoFileComp
}

func nodeNames(ctx context.Context, c *kv.Client) []string {
	nodes, err := c.ListNodes(ctx)
	if err != nil {
		return nil
	}
	var names []string
	for _, n := range nodes {
		names = append(names, n.ID)
	}
	return names
}

// actorNames are the actors of what logs is asked for.
func (a *app) actorNames(ctx context.Context, c *kv.Client, o offer) []string {
	units, err := c.ListUnits(ctx)
	if err != nil || len(o.args) == 0 {
		return nil
	}
	sel, err := a.selectLogs(ctx, c, o.args[0])
	if err != nil {
		return nil
	}
	return sel.Actors(units)
}

// revisionNames are the revisions that rollback can go back to, newest first, with
// what a person knows them by.
func (a *app) revisionNames(ctx context.Context, c *kv.Client, o offer) []string {
	if len(o.args) == 0 {
		return nil
	}
	r, err := parseRef(o.args[0])
	if err != nil {
		return nil
	}
	_, infos, err := a.history(ctx, c, r)
	if err != nil {
		return nil
	}
	var names []string
	for _, i := range slices.Backward(infos) {
		if i.Deleted || i.Document == nil {
			continue
		}
		names = append(names, fmt.Sprintf("%d\t%s ago %s %s", i.Revision, prose.Age(a.now(), i.At), i.Author, i.Comment))
	}
	return names
}

func (a *app) orphanNames(ctx context.Context, c *kv.Client, _ offer) []string {
	w, err := loadWorld(ctx, c)
	if err != nil {
		return nil
	}
	w.now, w.rayNamespace = a.now(), actors.DefaultRayNamespace
	var names []string
	for _, o := range plan.Plan(w.input(nil)).Orphans {
		names = append(names, o.Key.String())
	}
	return names
}

// beginning are the words that begin with what is typed, in any case.
func beginning(words []string, typed string) []string {
	return slices.DeleteFunc(words, func(w string) bool {
		return len(w) < len(typed) || !strings.EqualFold(w[:len(typed)], typed)
	})
}

// completeList offers the words of a list with commas.
func completeList(words []string) cobra.CompletionFunc {
	return func(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		before := typed[:strings.LastIndexByte(typed, ',')+1]
		var out []string
		for _, w := range words {
			if !slices.Contains(strings.Split(before, ","), w) {
				out = append(out, before+w)
			}
		}
		return beginning(out, typed), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeGoals offers what can be waited for, and the statuses after a "=".
func completeGoals(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	if typ, _, given := strings.Cut(typed, "="); given {
		return []string{typ + "=" + state.StatusTrue, typ + "=" + state.StatusFalse, typ + "=" + state.StatusUnknown}, cobra.ShellCompDirectiveNoFileComp
	}
	return beginning(append([]string{"deleted"}, conditionTypes...), typed), cobra.ShellCompDirectiveNoFileComp
}

// completeExplain offers the fields or the arguments below what is typed, or the
// reasons.
func completeExplain(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	if names, ok := completeArguments(cmd, typed); ok {
		return names, cobra.ShellCompDirectiveNoFileComp
	}
	if i := strings.LastIndexByte(typed, '.'); i > 0 {
		found, _, err := findFields(typed[:i])
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var paths []string
		for _, name := range found[0].node.Properties.names() {
			paths = append(paths, typed[:i+1]+name)
		}
		return paths, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
	words := []string{"model", "server"}
	for _, t := range terms() {
		words = append(words, t.word)
	}
	return beginning(slices.Compact(slices.Sorted(slices.Values(words))), typed), cobra.ShellCompDirectiveNoFileComp
}
