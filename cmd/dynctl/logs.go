package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"dynctl/state"
	"dynctl/state/kv"
)

const logsLong = `Print the last lines that each of a model's workers, or of a server's services,
wrote before its last exit, and say where the whole log of each lies: on the
node that runs it, in the unit's runtime directory.

The agent reports the end of a log with each exit; the log of a process that
runs is read on its node.`

func (a *app) logsCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:               "logs model/NAME|server/NAME",
		Short:             "Show the last exits' logs, and where the whole logs are",
		Long:              logsLong,
		Example:           "  dynctl logs model/qwen3-8b\n  dynctl logs server/default -n 20",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completing(state.KindModel, state.KindServer),
	}
	last := cmd.Flags().IntP("lines", "n", 50, "at most this many lines of each log")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *last < 0 {
			return usageErr("-n: want 0 or more, got %d", *last)
		}
		return a.onObject(cmd.Context(), args[0], func(c *kv.Client, key state.Key) error {
			return a.logs(cmd.Context(), c, key, *last)
		})
	}
	return cmd
}

func (a *app) logs(ctx context.Context, c *kv.Client, key state.Key, last int) error {
	units, err := c.ListUnits(ctx)
	if err != nil {
		return stored(err)
	}
	agent, err := c.GetAgent(ctx)
	if err != nil && !errors.Is(err, kv.ErrNotFound) {
		return stored(err)
	}
	shown := map[string]bool{}
	for _, u := range units {
		if u.Server != key.Server || u.Model != key.Name {
			continue
		}
		shown[u.Unit] = true
		for _, actor := range u.Actors {
			fmt.Fprintln(a.out, a.style.bold(actor.Name)+"  "+a.style.unitState(actor.State))
			fmt.Fprintf(a.out, "  log: %s:%s\n", orDash(actor.IP), logPath(agent.Session, u, actor.Name))
			if actor.Exit != nil {
				a.printTail(actor.Exit.LogTail, fmt.Sprintf("attempt %d, code %d, %s, %s ago", actor.Exit.Attempt, actor.Exit.Code,
					actor.Exit.Reason, age(a.now(), actor.Exit.At)), last)
			}
		}
	}
	status, err := c.GetStatus(ctx, key)
	if errors.Is(err, kv.ErrNotFound) {
		return nil
	}
	if err != nil {
		return stored(err)
	}
	for _, role := range roleNames(status.Roles) {
		// A unit that is gone has its last words in the status alone.
		if e := status.Roles[role].LastExit; e != nil && !shown[e.Unit] {
			fmt.Fprintln(a.out, a.style.bold(e.Unit)+"  gone")
			a.printTail(e.LogTail, fmt.Sprintf("code %d, %s, %s ago", e.Code, e.Reason, age(a.now(), e.At)), last)
		}
	}
	return nil
}

// logPath is where the log of an actor lies on its node. A session that is not
// known is left as a pattern.
func logPath(session string, u state.Unit, actor string) string {
	label := strings.TrimPrefix(actor, "dynamo_"+u.Server+"_"+u.Generation+"_")
	if session == "" {
		session = "session_*"
	}
	if !strings.HasPrefix(session, "/") {
		session = "/tmp/ray/" + session
	}
	return fmt.Sprintf("%s/nemo_curator_dynamo_%s_%s/%s.log", session, u.Server, u.Unit, label)
}

// printTail prints the end of a log.
func (a *app) printTail(tail, what string, last int) {
	fmt.Fprintln(a.out, "  last exit: "+what)
	lines := strings.Split(strings.TrimRight(tail, "\n"), "\n")
	for _, line := range lines[max(0, len(lines)-last):] {
		if tail != "" {
			fmt.Fprintln(a.out, "  | "+line)
		}
	}
}
