package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/cmd/dynctl/internal/prose"
	"dynctl/state"
	"dynctl/state/kv"
)

// revisionInfo is one item of `dynctl history -o json`.
type revisionInfo struct {
	Revision uint64    `json:"revision"`
	At       time.Time `json:"at"`
	Author   string    `json:"author"`
	Comment  string    `json:"comment"`
	Deleted  bool      `json:"deleted"`
	// Running reports whether this is the accepted revision.
	Running bool `json:"running"`
	// Document is null for a deletion.
	Document json.RawMessage `json:"document"`
}

func (a *app) historyCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:               "history model/NAME|server/NAME",
		Short:             "List the revisions of an object",
		Example:           "  dynctl history model/qwen3-8b\n  dynctl history model/qwen3-8b -o yaml",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completing(state.KindModel, state.KindServer),
	}
	out := outputFlag(cmd, formatTable, formatJSON, formatYAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r, err := parseRef(args[0])
		if err != nil {
			return err
		}
		return a.withClient(cmd.Context(), func(c *kv.Client) error {
			_, infos, err := a.history(cmd.Context(), c, r)
			if err != nil {
				return err
			}
			if out.value != formatTable {
				for i := range infos {
					infos[i].Document = state.RedactDocument(infos[i].Document)
				}
				return a.encode(out.value, infos)
			}
			var t table
			t.add("REVISION", "TIME", "AGE", "AUTHOR", "COMMENT", "")
			for _, i := range infos {
				mark := ""
				switch {
				case i.Deleted:
					mark = a.style.warn("deleted")
				case i.Running:
					mark = a.style.good("runs")
				}
				t.add(count(i.Revision), i.At.UTC().Format(time.RFC3339), prose.Age(a.now(), i.At), prose.OrDash(i.Author), prose.OrDash(i.Comment), mark)
			}
			t.write(a.out)
			return nil
		})
	}
	return cmd
}

// history reads the revisions of an object, also of a deleted one, oldest first.
func (a *app) history(ctx context.Context, c *kv.Client, r ref) (state.Key, []revisionInfo, error) {
	key, err := a.find(ctx, c, r)
	if err != nil {
		if exit.CodeOf(err) != exit.NotFound {
			return key, nil, err
		}
		key = state.Key{Kind: r.kind, Server: r.name}
		if r.kind == state.KindModel {
			key = state.ModelKey(a.serverName(), r.name)
		}
	}
	entries, histErr := c.SpecHistory(ctx, key)
	if errors.Is(histErr, kv.ErrNotFound) || histErr == nil && len(entries) == 0 {
		return key, nil, errors.Join(err, notFoundIf(err == nil, r))
	}
	if histErr != nil {
		return key, nil, exit.Stored(histErr)
	}
	var accepted uint64
	if s, err := c.GetStatus(ctx, key); err == nil {
		accepted = s.AcceptedRevision
	}
	infos := []revisionInfo{}
	for _, e := range entries {
		info := revisionInfo{
			Revision: e.Revision, At: e.At, Author: e.Author, Comment: e.Comment,
			Deleted: e.Deleted, Running: e.Revision == accepted,
		}
		if !e.Deleted {
			info.Document, _ = toJSON(e.Value)
		}
		infos = append(infos, info)
	}
	return key, infos, nil
}

func notFoundIf(missing bool, r ref) error {
	if !missing {
		return nil
	}
	return exit.NotFoundf("%s has no revisions", r)
}

func (a *app) rollbackCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rollback model/NAME|server/NAME",
		Short: "Write an earlier revision of an object again",
		Long: `Write an earlier revision of an object again, as a new revision. Without --to it
is the last accepted one when the newest was rejected, else the one before the
newest.`,
		Example:           "  dynctl rollback model/qwen3-8b\n  dynctl rollback model/qwen3-8b --to 17",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completing(state.KindModel, state.KindServer),
	}
	to := cmd.Flags().Uint64("to", 0, "the revision to go back to, as dynctl history lists it")
	offerFlag(cmd, "to", a.offering(a.revisionNames))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r, err := parseRef(args[0])
		if err != nil {
			return err
		}
		ctx := cmd.Context()
		return a.withClient(ctx, func(c *kv.Client) error {
			key, infos, err := a.history(ctx, c, r)
			if err != nil {
				return err
			}
			newest := infos[len(infos)-1].Revision
			target, err := rollbackTarget(r, withAccepted(ctx, c, key, infos), *to)
			if err != nil {
				return err
			}
			if err := validateEdit(ctx, c, key, target.Document); err != nil {
				return err
			}
			revision, err := c.PutSpec(ctx, key, target.Document, kv.PutOptions{
				IfRevision: &newest, Author: author(), Comment: fmt.Sprintf("rollback to %d", target.Revision),
			})
			if errors.Is(err, kv.ErrConflict) {
				return changedMeanwhile(ctx, c, key)
			}
			if err != nil {
				return exit.Stored(err)
			}
			_, err = fmt.Fprintf(a.out, "%s rolled back to revision %d (revision %d)\n", r, target.Revision, revision)
			return err
		})
	}
	return cmd
}

// withAccepted puts the accepted revision before the others where the bucket has lost it:
// it keeps 64 of an object, and a program that writes what is rejected fills them soon.
func withAccepted(ctx context.Context, c *kv.Client, key state.Key, infos []revisionInfo) []revisionInfo {
	s, err := c.GetStatus(ctx, key)
	if err != nil || s.AcceptedRevision == 0 || len(s.AcceptedSpec) == 0 ||
		slices.ContainsFunc(infos, func(i revisionInfo) bool { return i.Running }) {
		return infos
	}
	accepted := revisionInfo{Revision: s.AcceptedRevision, Running: true, Document: s.AcceptedSpec}
	return slices.Insert(slices.Clone(infos), 0, accepted)
}

// rollbackTarget is the revision to go back to: the one asked for; else the
// accepted one, if it is not the newest; else the last document before the newest.
func rollbackTarget(r ref, infos []revisionInfo, to uint64) (revisionInfo, error) {
	earlier := infos[:len(infos)-1]
	var target *revisionInfo
	for i := range infos {
		info := &infos[i]
		usable := !info.Deleted && info.Document != nil
		switch {
		case to != 0:
			if info.Revision == to && usable {
				return *info, nil
			}
		case usable && i < len(earlier) && info.Running:
			return *info, nil
		case usable && i < len(earlier):
			target = info
		}
	}
	if to != 0 {
		return revisionInfo{}, exit.NotFoundf("%s has no revision %d that can be written again (see `dynctl history %s`)", r, to, r)
	}
	if target == nil {
		return revisionInfo{}, exit.NotFoundf("%s has no earlier revision", r)
	}
	return *target, nil
}
