package main

import (
	"time"

	"github.com/spf13/cobra"

	"dynctl/state"
)

func (a *app) restartCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "restart model/NAME",
		Short: "Restart a model's workers in place",
		Long: `Restart a model's workers in their actors, within the model's update
budget. It also brings up to date what an older version of the reconciler
rendered. It writes spec.restart: a file without it that is set while workers
are still to be restarted asks for no more of that.`,
		Example:           "  dynctl restart model/qwen3-8b",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completing(state.KindModel),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.edit(cmd.Context(), args[0], "restart", func(d *document) error {
				return d.set(a.now().UTC().Format(time.RFC3339Nano), "spec", "restart")
			})
		},
	}
}
