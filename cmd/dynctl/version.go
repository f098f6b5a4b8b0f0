package main

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dynctl/cmd/dynctl/internal/doctor"
	"dynctl/cmd/dynctl/internal/prose"
	"dynctl/cmd/internal/version"
	"dynctl/state/kv"
)

// askVersions is how long version waits for a store that does not answer.
const askVersions = 2 * time.Second

// versionInfo is the shape of `dynctl version -o json`.
type versionInfo struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"`
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	// Reconciler is the version of the one that leads; empty: none does, it does not
	// tell, or NATS did not answer.
	Reconciler string `json:"reconciler"`
	// Agent is the version of the agent in Ray, and Ray are the versions that it
	// found there, by name (python, ray, dynamo).
	Agent string            `json:"agent"`
	Ray   map[string]string `json:"ray"`
}

func (a *app) versionCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the versions of this program and of what it talks to",
		Long: `Print the version of this program, and those of the reconciler that leads and of
what its agent found in Ray, where NATS answers. Whether they fit each other is
what dynctl doctor says.`,
		Example: "  dynctl version\n  dynctl version --client\n  dynctl version -o json",
		Args:    cobra.NoArgs,
	}
	client := cmd.Flags().Bool("client", false, "this program alone; nothing is asked")
	out := outputFlag(cmd, formatTable, formatJSON, formatYAML)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		own := version.Get()
		v := versionInfo{Version: own.Version, Commit: own.Commit, Modified: own.Modified, Go: own.Go, Platform: own.Platform, Ray: map[string]string{}}
		if !*client {
			if err := a.remoteVersions(cmd.Context(), &v); err != nil {
				return err
			}
		}
		if out.value != formatTable {
			return a.encode(out.value, v)
		}
		fmt.Fprintln(a.out, "dynctl", own)
		if v.Reconciler != "" {
			fmt.Fprintln(a.out, "reconciler", v.Reconciler)
		}
		if v.Agent != "" {
			fmt.Fprintln(a.out, strings.TrimSuffix("agent "+v.Agent+", "+doctor.VersionList(v.Ray), ", "))
		}
		return nil
	}
	return cmd
}

// remoteVersions asks the store. That it does not answer is no error: this
// program has a version all the same.
func (a *app) remoteVersions(ctx context.Context, v *versionInfo) error {
	if _, err := a.conn.resolve(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, askVersions)
	defer cancel()
	err := a.withClient(ctx, func(c *kv.Client) error {
		if lease, err := c.GetLeader(ctx); err == nil {
			v.Reconciler = lease.Version
		}
		if agent, err := c.GetAgent(ctx); err == nil {
			v.Agent = agent.Version
			maps.Copy(v.Ray, agent.Versions)
		}
		return nil
	})
	if err != nil {
		a.progress("%s", prose.FirstLine(err.Error()))
	}
	return nil
}
