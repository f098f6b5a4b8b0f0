package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"dynctl/state"
	"dynctl/state/kv"
)

const deleteLong = `Delete objects. What they run is stopped gracefully, at once.

A server that still has models is not stopped before they are gone.`

func (a *app) deleteCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:               "delete model/NAME|server/NAME...",
		Short:             "Delete objects and stop what they run",
		Long:              deleteLong,
		Example:           "  dynctl delete model/qwen3-8b\n  dynctl delete model/qwen3-8b --wait",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completing(state.KindModel, state.KindServer),
	}
	wait := cmd.Flags().Bool("wait", false, "wait until nothing of it runs any more")
	timeout := cmd.Flags().Duration("timeout", 5*time.Minute, "how long to wait")
	revision := cmd.Flags().Uint64("if-revision", 0, "delete only if this is still the revision")
	comment := cmd.Flags().StringP("comment", "m", "", "why; shown by history")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		if *revision != 0 && len(args) > 1 {
			return usageErr("--if-revision goes with one object")
		}
		return a.withClient(ctx, func(c *kv.Client) error {
			keys := make([]state.Key, len(args))
			for i, arg := range args {
				r, err := parseRef(arg)
				if err != nil {
					return err
				}
				if keys[i], err = a.find(ctx, c, r); err != nil {
					return err
				}
			}
			opts := kv.DeleteOptions{Author: author(), Comment: *comment, IfRevision: optional(*revision)}
			for _, key := range keys {
				if _, err := c.DeleteSpec(ctx, key, opts); err != nil && !errors.Is(err, kv.ErrNotFound) {
					return stored(err)
				}
				fmt.Fprintf(a.out, "%s deleted\n", refOf(key))
			}
			if !*wait {
				return nil
			}
			w := waiter{app: a, client: c, timeout: *timeout}
			for _, key := range keys {
				if err := w.deleted(ctx, key); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return cmd
}

// optional is nil for the zero value.
func optional[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
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
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := parseRef("server/" + args[0])
			if err != nil {
				return err
			}
			return a.withClient(cmd.Context(), func(c *kv.Client) error {
				revision, err := c.ConfirmDeletions(cmd.Context(), r.name, author())
				if err != nil {
					return stored(err)
				}
				_, err = fmt.Fprintf(a.out, "%s: deletions up to revision %d confirmed\n", r, revision)
				return err
			})
		},
	}
}
