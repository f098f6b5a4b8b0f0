// Package version says which version of the programs this is. The programs of one
// build share it; it imports nothing of this module.
package version

import (
	"runtime"
	"runtime/debug"
)

// Value is set by the build: -ldflags "-X dynctl/cmd/internal/version.Value=v1.2.3".
var Value = ""

// Unset is the version of a build that names none.
const Unset = "(devel)"

// Info is a version with what the Go toolchain recorded.
type Info struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"`
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// Get reads what this program was built from.
func Get() Info {
	v := Info{Version: Value, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
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
		v.Version = Unset
	}
	return v
}

// String is "v1.2.3 (a1b2c3d4e5f6, modified), go1.26.0, linux/amd64".
func (i Info) String() string {
	text := i.Version
	if i.Commit != "" {
		text += " (" + i.Commit
		if i.Modified {
			text += ", modified"
		}
		text += ")"
	}
	return text + ", " + i.Go + ", " + i.Platform
}
