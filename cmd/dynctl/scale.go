package main

import (
	"encoding/json"
	"strconv"

	"github.com/spf13/cobra"

	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/state"
)

func (a *app) scaleCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:               "scale model/NAME --replicas N | --prefill N --decode N",
		Short:             "Change the number of a model's workers",
		Example:           "  dynctl scale model/qwen3-8b --replicas 3\n  dynctl scale model/llama --prefill 1 --decode 4",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completing(state.KindModel),
	}
	counts := map[string]*int{}
	for _, name := range []string{"replicas", "prefill", "decode"} {
		counts[name] = cmd.Flags().Int(name, 0, map[string]string{
			"replicas": "workers of an aggregated model", "prefill": "prefill workers", "decode": "decode workers",
		}[name])
	}
	cmd.MarkFlagsOneRequired("replicas", "prefill", "decode")
	cmd.MarkFlagsMutuallyExclusive("replicas", "prefill")
	cmd.MarkFlagsMutuallyExclusive("replicas", "decode")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		comment := "scale"
		for _, name := range []string{"replicas", "prefill", "decode"} {
			if cmd.Flags().Changed(name) {
				comment += " " + name + "=" + strconv.Itoa(*counts[name])
			}
		}
		return a.edit(cmd.Context(), args[0], comment, func(d *document) error {
			return scale(d, args[0], counts, cmd.Flags().Changed)
		})
	}
	return cmd
}

// scale writes the counts that were given where the model's mode has them.
func scale(d *document, name string, counts map[string]*int, given func(string) bool) error {
	mode := state.ModeAggregated
	d.get(&mode, "spec", "mode")
	if given("replicas") {
		if mode == state.ModeDisagg {
			return exit.Usagef("%s is disaggregated: scale it with --prefill and --decode", name)
		}
		return d.set(*counts["replicas"], "spec", "replicas")
	}
	if mode != state.ModeDisagg {
		return exit.Usagef("%s is aggregated: scale it with --replicas", name)
	}
	for _, role := range []string{state.RolePrefill, state.RoleDecode} {
		var have json.RawMessage
		switch {
		case given(role):
			if err := d.set(*counts[role], "spec", role, "replicas"); err != nil {
				return err
			}
		case !d.get(&have, "spec", role):
			// Both roles are given or neither.
			if err := d.set(1, "spec", role, "replicas"); err != nil {
				return err
			}
		}
	}
	return nil
}
