package main

import (
	"github.com/spf13/cobra"

	"dynctl/state"
)

func (a *app) suspendCmd() *cobra.Command {
	return a.suspension("suspend", true, "Stop a model's workers and keep its spec")
}

func (a *app) resumeCmd() *cobra.Command {
	return a.suspension("resume", false, "Start the workers of a suspended model")
}

func (a *app) suspension(verb string, suspended bool, short string) *cobra.Command {
	return &cobra.Command{
		Use:               verb + " model/NAME",
		Short:             short,
		Example:           "  dynctl " + verb + " model/qwen3-8b",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completing(state.KindModel),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.edit(cmd.Context(), args[0], verb, func(d *document) error {
				var now bool
				if d.get(&now, "spec", "suspend"); now == suspended {
					return nil
				}
				return d.set(suspended, "spec", "suspend")
			})
		},
	}
}
