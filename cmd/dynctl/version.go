package main

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dynctl/cmd/dynctl/internal/prose"
	"dynctl/cmd/internal/version"
	"dynctl/state"
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
			fmt.Fprintln(a.out, strings.TrimSuffix("agent "+v.Agent+", "+versionList(v.Ray), ", "))
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

// tested are the versions of the Ray side that the integration tests run, by the
// names that the agent gives them.
var tested = []struct{ key, name, version string }{
	{"python", "Python", "3.11"},
	{"ray", "Ray", "2.60"},
	{"dynamo", "Dynamo", "1.6"},
}

// agentVersion is that of the agent which a reconciler of this version submits.
const agentVersion = "1"

// versionList is "Python 3.11.9, Ray 2.60.0"; what is not known is left out.
func versionList(versions map[string]string) string {
	var parts []string
	for _, t := range tested {
		if v := versions[t.key]; v != "" {
			parts = append(parts, t.name+" "+v)
		}
	}
	return strings.Join(parts, ", ")
}

// untested are the reported versions that are not the tested ones: "Ray 2.61.0,
// tested with 2.60".
func untested(agent state.Agent) []string {
	var parts []string
	for _, t := range tested {
		v := agent.Versions[t.key]
		if v != "" && v != t.version && !strings.HasPrefix(v, t.version+".") {
			parts = append(parts, fmt.Sprintf("%s %s, tested with %s", t.name, v, t.version))
		}
	}
	return parts
}

// unreported are the tested parts of whose version the agent says nothing.
func unreported(agent state.Agent) []string {
	var parts []string
	for _, t := range tested {
		if agent.Versions[t.key] == "" {
			parts = append(parts, t.name)
		}
	}
	return parts
}
