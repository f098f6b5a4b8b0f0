package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/cmd/dynctl/internal/prose"
	"dynctl/cmd/internal/agentlogs"
	"dynctl/cmd/internal/verdict"
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
			sel.actor = f.actor
			r := logReader{app: a, client: c, logsFlags: f}
			if f.follow {
				return r.followAll(ctx, sel)
			}
			return r.printAll(ctx, sel)
		})
	}
	return cmd
}

// logSelection says whose logs are meant.
type logSelection struct {
	name  string
	match func(state.Unit) bool
	actor string
	// key is the object; zero where a unit was named.
	key state.Key
}

var unitPattern = regexp.MustCompile(`^[0-9a-f]{8}_.`)

// selectLogs understands model/NAME, server/NAME, unit/ID, SERVER/UNIT as events
// print it, and a bare unit or model.
func (a *app) selectLogs(ctx context.Context, c *kv.Client, arg string) (logSelection, error) {
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
			return logSelection{}, err
		case len(units) == 1:
			key := units[0].Key()
			return logSelection{name: "unit/" + id, match: func(u state.Unit) bool { return u.Key() == key }}, nil
		case len(units) > 1:
			var servers []string
			for _, u := range units {
				servers = append(servers, u.Server)
			}
			return logSelection{}, exit.Usagef("unit/%s exists on servers %s: say which with --server", id, strings.Join(servers, ", "))
		case explicit || unitPattern.MatchString(id) || id == "infra":
			return logSelection{}, exit.NotFoundf("unit %s not found (see `dynctl get units`)", id)
		}
	}
	r, err := parseRef(arg)
	if err != nil {
		return logSelection{}, err
	}
	key, err := a.find(ctx, c, r)
	return logSelection{name: r.String(), key: key, match: func(u state.Unit) bool { return u.Server == key.Server && u.Model == key.Name }}, err
}

// unitsNamed are the units of an id, of one server or of those that --server allows.
func (a *app) unitsNamed(ctx context.Context, c *kv.Client, server, id string) ([]state.Unit, error) {
	units, err := c.ListUnits(ctx)
	server = cmp.Or(server, a.conn.server)
	return slices.DeleteFunc(units, func(u state.Unit) bool {
		return u.Unit != id || server != "" && u.Server != server
	}), exit.Stored(err)
}

// logTarget is one process whose log is read.
type logTarget struct {
	unit  state.Unit
	actor state.Actor
	// name is what a person calls it among the others: DP0, decode_1, Frontend.
	name string
}

// targets are the processes that are selected now, by unit and bundle.
func (sel logSelection) targets(units []state.Unit) ([]logTarget, error) {
	var found []logTarget
	var others []string
	generations := map[string]bool{}
	for _, u := range units {
		if !sel.match(u) {
			continue
		}
		for _, actor := range u.Actors {
			t := logTarget{unit: u, actor: actor, name: agentlogs.ShortName(u, actor)}
			if sel.actor != "" && !t.called(sel.actor) {
				others = append(others, t.name)
				continue
			}
			generations[u.Generation] = true
			found = append(found, t)
		}
	}
	if len(found) == 0 && len(others) > 0 {
		return nil, exit.NotFoundf("%s has no actor %q: there is %s", sel.name, sel.actor, strings.Join(others, ", "))
	}
	if len(generations) > 1 {
		for i := range found {
			found[i].name = found[i].unit.Generation + "/" + found[i].name
		}
	}
	return found, nil
}

// label is the actor's name without server and generation: what its log is called.
func (t logTarget) label() string {
	return agentlogs.Label(t.unit, t.actor)
}

// called says that a name stands for the actor, wholly or by one of its parts.
func (t logTarget) called(name string) bool {
	if name == t.actor.Name || strings.EqualFold(name, t.name) {
		return true
	}
	return strings.Contains("_"+strings.ToLower(t.label())+"_", "_"+strings.ToLower(name)+"_")
}

// nothingRan says why there is no process to read from, after the last words of
// one that is no more.
func (r *logReader) nothingRan(ctx context.Context, sel logSelection) error {
	if sel.key == (state.Key{}) {
		return exit.NotFoundf("%s has no actor: nothing was executed in it", sel.name)
	}
	s, err := r.client.GetStatus(ctx, sel.key)
	if errors.Is(err, kv.ErrNotFound) {
		return exit.NotFoundf("%s runs nothing: the reconciler has not seen it yet (see `dynctl doctor`)", sel.name)
	}
	if err != nil {
		return exit.Stored(err)
	}
	told := false
	for _, role := range roleNames(s.Roles) {
		if e := s.Roles[role].LastExit; e != nil {
			told = true
			r.note("%s is gone; it ended %s ago: code %d, %s", e.Unit, prose.Age(r.now(), e.At), e.Code, e.Reason)
			r.tail("", e.LogTail)
			if e.Cause != "" {
				r.note("%s ended because of: %s", e.Unit, prose.WithHint(e.Cause, e.Hint))
			}
		}
	}
	if told {
		return nil
	}
	v := judge(&s, r.now())
	text := fmt.Sprintf("%s runs nothing (%s)", sel.name, v.Word)
	if v.Blocking != nil && v.Word != verdict.Suspended {
		text += ": " + describe(*v.Blocking)
	}
	return exit.NotFoundf("%s", text)
}
