package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the release build (-ldflags "-X main.version=v1.2.3").
var version = ""

// versionInfo is the shape of `dynctl version -o json`.
type versionInfo struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"`
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (a *app) versionCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this program",
		Example: "  dynctl version\n  dynctl version -o json",
		Args:    cobra.NoArgs,
	}
	out := outputFlag(cmd, formatTable, formatJSON, formatYAML)
	cmd.RunE = func(*cobra.Command, []string) error {
		v := buildVersion()
		if out.value != formatTable {
			return a.encode(out.value, v)
		}
		text := "dynctl " + v.Version
		if v.Commit != "" {
			text += " (" + v.Commit
			if v.Modified {
				text += ", modified"
			}
			text += ")"
		}
		_, err := fmt.Fprintf(a.out, "%s, %s, %s\n", text, v.Go, v.Platform)
		return err
	}
	return cmd
}

func buildVersion() versionInfo {
	v := versionInfo{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		if v.Version == "" {
			v.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				v.Commit = s.Value[:min(12, len(s.Value))]
			case "vcs.modified":
				v.Modified = s.Value == "true"
			}
		}
	}
	if v.Version == "" {
		v.Version = "(devel)"
	}
	return v
}
