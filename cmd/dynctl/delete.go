package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/cmd/dynctl/internal/prose"
	"dynctl/state"
	"dynctl/state/kv"
)

const deleteLong = `Delete objects, and stop what they run gracefully, at once. They are named
model/NAME or server/NAME, or by the files, directories, glob patterns or standard
input (-) that declare them; of a document only kind and metadata count.

Models go before servers: a server that still has models is not stopped before
they are gone. What a document declares and the store does not have is told as
unchanged; an object that is named and does not exist is an error.`

const deleteExample = `  dynctl delete model/qwen3-8b
  dynctl delete model.yaml --wait
  dynctl delete -f models/ --dry-run
  dynctl get model qwen3-8b -o json | dynctl delete -`

type deleteFlags struct {
	files       []string
	dryRun      bool
	wait        bool
	timeout     time.Duration
	revision    uint64
	conditional bool
	comment     string
}

func (a *app) deleteCmd() *cobra.Command {
	var f deleteFlags
	cmd := &cobra.Command{
		Use:               "delete model/NAME|server/NAME|FILE...",
		Short:             "Delete objects and stop what they run",
		Long:              deleteLong,
		Example:           deleteExample,
		ValidArgsFunction: a.completingOrFiles(state.KindModel, state.KindServer),
	}
	fs := cmd.Flags()
	fs.StringArrayVarP(&f.files, "filename", "f", nil, "delete what this file, directory, pattern or - declares")
	fs.BoolVar(&f.dryRun, "dry-run", false, "say what would be deleted, but delete nothing")
	fs.BoolVar(&f.wait, "wait", false, "wait until nothing of it runs any more")
	patienceVar(fs, &f.timeout, "timeout", 5*time.Minute, "how long to wait")
	fs.Uint64Var(&f.revision, "if-revision", 0, "delete only if this is still the revision")
	fs.StringVarP(&f.comment, "comment", "m", "", "why; shown by history")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		f.conditional = fs.Changed("if-revision")
		if len(args)+len(f.files) == 0 {
			return exit.Usagef("name what to delete: dynctl delete model/NAME, or dynctl delete FILE")
		}
		if f.conditional && f.revision == 0 {
			return exit.Usagef("--if-revision 0 means that there is none, and then there is nothing to delete: give the revision that `dynctl history` shows")
		}
		refs, declared, err := a.deleteTargets(cmd.Context(), args, f.files)
		if err != nil {
			return err
		}
		if n := len(refs) + len(declared); f.conditional && n != 1 {
			return exit.Usagef("--if-revision goes with one object, got %d", n)
		}
		return a.withClient(cmd.Context(), func(c *kv.Client) error {
			d := deleter{app: a, client: c, deleteFlags: f}
			return d.delete(cmd.Context(), refs, declared)
		})
	}
	return cmd
}

// deleteTargets tells objects from the files that declare them.
func (a *app) deleteTargets(ctx context.Context, args, files []string) (refs []ref, declared []state.Key, err error) {
	for _, arg := range args {
		if namesFile(arg) {
			files = append(files, arg)
			continue
		}
		r, err := parseRef(arg)
		if err != nil {
			return nil, nil, err
		}
		refs = append(refs, r)
	}
	sources, err := a.readSources(ctx, files)
	if err != nil {
		return nil, nil, err
	}
	declared, err = declaredKeys(sources)
	return refs, declared, err
}

// namesFile tells model.yaml from model/qwen3-8b. What is written as an object is
// one, whatever stands in the directory; -f or ./ in front makes it a file.
func namesFile(arg string) bool {
	if arg == "-" || slices.Contains(specExtensions, filepath.Ext(arg)) && strings.Contains(arg, "/") {
		return true
	}
	if kind, name, ok := strings.Cut(arg, "/"); ok && name != "" && (kind == "model" || kind == "server") {
		return false
	}
	if _, err := os.Stat(arg); err == nil {
		return true
	}
	return strings.ContainsAny(arg, "*?[") || slices.Contains(specExtensions, filepath.Ext(arg))
}

// declaredKeys are the objects that documents declare, each once. Deleting needs
// no more of a document than what it is called.
func declaredKeys(sources []source) ([]state.Key, error) {
	var keys []state.Key
	var errs []error
	known := map[state.Key]bool{}
	for _, s := range sources {
		found, err := state.DecodeFile(s.name, s.data)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for d := range found {
			if len(d.Errs) > 0 {
				errs = append(errs, d.Errs...)
				continue
			}
			doc, key := d.Doc, d.Doc.Key()
			if !validKey(key) {
				errs = append(errs, doc.Place(&state.Invalid{
					Reason: state.ReasonInvalidName, Path: "metadata.name",
					Message: fmt.Sprintf("%q names no object that could be deleted", refOf(key).name),
				}))
			}
			if !known[key] {
				known[key] = true
				keys = append(keys, key)
			}
		}
	}
	if err := state.JoinFaults(errs...); err != nil {
		return nil, exit.Usagef("%w", err)
	}
	if len(sources) > 0 && len(keys) == 0 {
		return nil, exit.Usagef("no document in %s", sourceNames(sources))
	}
	return keys, nil
}

// deleter deletes objects.
type deleter struct {
	*app
	deleteFlags
	client *kv.Client
}

// delete finds everything before it deletes anything.
func (d *deleter) delete(ctx context.Context, refs []ref, declared []state.Key) error {
	keys := declared
	for _, r := range refs {
		key, err := d.find(ctx, d.client, r)
		if err != nil {
			return err
		}
		if !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(x, y state.Key) int {
		// Model before Server: the other way round than set.
		return cmp.Or(cmp.Compare(x.Kind, y.Kind), x.Compare(y))
	})
	for _, key := range keys {
		kept, err := d.keptFor(ctx, key, keys)
		if err != nil {
			return err
		}
		said, err := d.one(ctx, key)
		if err != nil {
			return err
		}
		if said += kept; d.dryRun {
			said += " (dry run)"
		}
		fmt.Fprintf(d.out, "%s %s\n", refOf(key), said)
	}
	if !d.wait || d.dryRun {
		return nil
	}
	w := waiter{app: d.app, client: d.client, timeout: d.timeout}
	for _, key := range keys {
		if err := w.deleted(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// one deletes one object and says what became of it.
func (d *deleter) one(ctx context.Context, key state.Key) (string, error) {
	const gone = "unchanged (already gone)"
	entry, err := d.client.GetSpec(ctx, key)
	lost := errors.Is(err, kv.ErrNotFound)
	switch {
	case lost && d.conditional:
		return "", exit.NotFoundf("%s is not there, so it is not at revision %d (see `dynctl history %s`)", refOf(key), d.revision, refOf(key))
	case err != nil && !lost:
		return "", exit.Stored(err)
	case d.conditional && entry.Revision != d.revision:
		return "", exit.Errorf(exit.Conflict, "%s is at revision %d, not %d: look at it with `dynctl history %s`, then delete it again",
			refOf(key), entry.Revision, d.revision, refOf(key))
	case d.dryRun && lost && !d.client.IsLeft(ctx, key):
		return gone, nil
	case d.dryRun:
		return "deleted", nil
	}
	opts := kv.DeleteOptions{Author: author(), Comment: d.comment}
	if d.conditional {
		opts.IfRevision = &d.revision
	}
	_, err = d.client.DeleteSpec(ctx, key, opts)
	if errors.Is(err, kv.ErrNotFound) {
		return gone, nil
	}
	return "deleted", exit.Stored(err)
}

func (a *app) confirmDeletionsCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "confirm-deletions SERVER",
		Short: "Say that the deletion of most of a server's models is meant",
		Long: `When more than half of a server's models are deleted within moments and not by
dynctl, nothing is stopped until this says that it is meant. To undo it instead,
set the models again.`,
		Example: "  dynctl confirm-deletions default",
		Args:    cobra.ExactArgs(1),

		ValidArgsFunction: limited(a.offering(a.serverNames)),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := parseRef("server/" + args[0])
			if err != nil {
				return err
			}
			return a.withClient(cmd.Context(), func(c *kv.Client) error {
				keys, err := allKeys(cmd.Context(), c)
				if err != nil {
					return err
				}
				// What a held deletion concerns still has a status.
				var servers []string
				for _, k := range keys {
					servers = append(servers, k.Server)
				}
				if !slices.Contains(servers, r.name) {
					servers = slices.Compact(slices.Sorted(slices.Values(servers)))
					return exit.NotFoundf("%s has no deletion that is held, nor anything else: there is %s", r, prose.OrDash(strings.Join(servers, ", ")))
				}
				revision, err := c.ConfirmDeletions(cmd.Context(), r.name, author())
				if err != nil {
					return exit.Stored(err)
				}
				_, err = fmt.Fprintf(a.out, "%s: deletions up to revision %d confirmed\n", r, revision)
				return err
			})
		},
	}
}

// keptFor says for which models a server goes on to run although it is deleted; empty: for
// none but those that are deleted with it.
func (d *deleter) keptFor(ctx context.Context, server state.Key, deleted []state.Key) (string, error) {
	if server.Kind != state.KindServer {
		return "", nil
	}
	specs, err := d.client.ListSpecs(ctx)
	if err != nil {
		return "", exit.Stored(err)
	}
	var models []string
	for _, e := range specs {
		key, err := state.ParseKey(e.Key)
		if err == nil && !e.Deleted && key.Kind == state.KindModel && key.Server == server.Server && !slices.Contains(deleted, key) {
			models = append(models, refOf(key).String())
		}
	}
	if len(models) == 0 {
		return "", nil
	}
	const shown = 3
	if more := len(models) - shown; more > 0 {
		models = append(models[:shown], fmt.Sprintf("%d more", more))
	}
	return "; it runs until these are deleted too: " + strings.Join(models, ", "), nil
}
