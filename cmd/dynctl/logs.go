package main

import (
	"cmp"
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/cmd/dynctl/internal/logs"
	"dynctl/state"
	"dynctl/state/kv"
)

const logsLong = `Print the logs of a model's workers, of a server's etcd, NATS and frontend, or of
one unit, each line with the worker it comes from where there are several.

The agent reads them on the nodes. An exited process has its log as long as its
actor lives; of an actor that is gone the last lines are printed that the agent
recorded, with where the file lies. -f goes on with the next attempts and with
workers that join. What is no log line goes to standard error.`

const logsExample = `  dynctl logs model/qwen3-8b
  dynctl logs model/qwen3-8b -f -n 0
  dynctl logs server/default --actor frontend
  dynctl logs edf81341_qwen3_8b_DP0 --previous`

type logsFlags struct {
	actor    string
	previous bool
	follow   bool
	lines    int
}

func (a *app) logsCmd() *cobra.Command {
	var f logsFlags
	cmd := &cobra.Command{
		Use:     "logs model/NAME|server/NAME|UNIT",
		Short:   "Print logs of workers, etcd, NATS and frontend",
		Long:    logsLong,
		Example: logsExample,
		Args:    cobra.ExactArgs(1),
		ValidArgsFunction: limited(a.offering(func(ctx context.Context, c *kv.Client, o offer) []string {
			return append(a.refNames(ctx, c, o, state.KindModel, state.KindServer), a.unitNames(ctx, c)...)
		})),
	}
	fs := cmd.Flags()
	fs.StringVar(&f.actor, "actor", "", "only this actor, by its name or a part of it: etcd, nats, frontend, DP0")
	fs.BoolVarP(&f.previous, "previous", "p", false, "the log of the attempt before")
	fs.BoolVarP(&f.follow, "follow", "f", false, "go on with what is written until interrupted")
	fs.IntVarP(&f.lines, "lines", "n", 50, "begin with the last lines; -1: all")
	cmd.MarkFlagsMutuallyExclusive("previous", "follow")
	offerFlag(cmd, "actor", a.offering(a.actorNames))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if f.lines < -1 {
			return exit.Usagef("-n: want -1 (all) or more, got %d", f.lines)
		}
		ctx := cmd.Context()
		return a.withClient(ctx, func(c *kv.Client) error {
			sel, err := a.selectLogs(ctx, c, args[0])
			if err != nil {
				return err
			}
			sel.Actor = f.actor
			r := &logs.Reader{
				Client: c, Out: a.out, Err: a.err, Now: a.now, Dim: a.style.dim, Colour: a.style.on,
				Previous: f.previous, Lines: f.lines,
			}
			if f.follow {
				return r.Follow(ctx, sel)
			}
			return r.Print(ctx, sel)
		})
	}
	return cmd
}

var unitPattern = regexp.MustCompile(`^[0-9a-f]{8}_.`)

// selectLogs understands model/NAME, server/NAME, unit/ID, SERVER/UNIT as events
// print it, and a bare unit or model.
func (a *app) selectLogs(ctx context.Context, c *kv.Client, arg string) (logs.Selection, error) {
	server, id, pair := strings.Cut(arg, "/")
	if !pair {
		server, id = "", arg
	}
	if !slices.Contains([]string{"model", "models", "server", "servers"}, server) {
		explicit := pair
		if server == "unit" || server == "units" {
			server = ""
		}
		units, err := a.unitsNamed(ctx, c, server, id)
		switch {
		case err != nil:
			return logs.Selection{}, err
		case len(units) == 1:
			key := units[0].Key()
			return logs.Selection{Name: "unit/" + id, Match: func(u state.Unit) bool { return u.Key() == key }}, nil
		case len(units) > 1:
			var servers []string
			for _, u := range units {
				servers = append(servers, u.Server)
			}
			return logs.Selection{}, exit.Usagef("unit/%s exists on servers %s: say which with --server", id, strings.Join(servers, ", "))
		case explicit || unitPattern.MatchString(id) || id == "infra":
			return logs.Selection{}, exit.NotFoundf("unit %s not found (see `dynctl get units`)", id)
		}
	}
	r, err := parseRef(arg)
	if err != nil {
		return logs.Selection{}, err
	}
	key, err := a.find(ctx, c, r)
	return logs.Selection{Name: r.String(), Key: key, Match: func(u state.Unit) bool { return u.Server == key.Server && u.Model == key.Name }}, err
}

// unitsNamed are the units of an id, of one server or of those that --server allows.
func (a *app) unitsNamed(ctx context.Context, c *kv.Client, server, id string) ([]*state.Unit, error) {
	units, err := c.ListUnits(ctx)
	server = cmp.Or(server, a.conn.server)
	return slices.DeleteFunc(units, func(u *state.Unit) bool {
		return u.Unit != id || server != "" && u.Server != server
	}), exit.Stored(err)
}
