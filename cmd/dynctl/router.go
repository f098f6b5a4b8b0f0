package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/cmd/dynctl/internal/prose"
	"dynctl/state"
	"dynctl/state/kv"
)

// routerInfo is one item of `dynctl router -o json`: the routing in force for a
// server (model empty) or for one of its models.
type routerInfo struct {
	Server   string `json:"server"`
	Model    string `json:"model"`
	Mode     string `json:"mode"`
	KVEvents bool   `json:"kvEvents"`
	Source   string `json:"source"`
	Because  string `json:"because"`
}

func (a *app) routerCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "router [SERVER]",
		Short:   "Show the routing in force, and why",
		Example: "  dynctl router\n  dynctl router default -o json",
		Args:    cobra.MaximumNArgs(1),

		ValidArgsFunction: limited(a.offering(a.serverNames)),
	}
	out := outputFlag(cmd, formatTable, formatJSON, formatYAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 {
			r, err := parseRef("server/" + strings.TrimPrefix(args[0], "server/"))
			if err != nil {
				return err
			}
			a.conn.server = r.name
		}
		return a.withClient(cmd.Context(), func(c *kv.Client) error {
			infos, err := a.routing(cmd.Context(), c)
			if err != nil {
				return err
			}
			if len(args) == 1 && len(infos) == 0 {
				return exit.NotFoundf("server/%s has no routing: it has no status yet, or is not declared (see `dynctl get servers`)", a.conn.server)
			}
			if out.value != formatTable {
				return a.encode(out.value, infos)
			}
			var t table
			t.add("SERVER", "MODEL", "ROUTER", "SOURCE", "BECAUSE")
			for _, i := range infos {
				t.add(i.Server, prose.OrDash(i.Model), routing(&state.RouterStatus{Mode: i.Mode, KVEvents: i.KVEvents}), i.Source, i.Because)
			}
			t.write(a.out)
			return nil
		})
	}
	return cmd
}

func (a *app) routing(ctx context.Context, c *kv.Client) ([]routerInfo, error) {
	infos := []routerInfo{}
	for _, kind := range []string{state.KindServer, state.KindModel} {
		objects, err := a.objects(ctx, c, kind)
		if err != nil {
			return nil, err
		}
		for _, o := range objects {
			if o.Status == nil || o.Status.Router == nil {
				continue
			}
			r := o.Status.Router
			info := routerInfo{Server: o.Server, Mode: r.Mode, KVEvents: r.KVEvents, Source: r.Source, Because: r.Because}
			if kind == state.KindModel {
				info.Model = o.Name
			}
			infos = append(infos, info)
		}
	}
	return infos, nil
}
