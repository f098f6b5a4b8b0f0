// Package agent holds the Python sources of the Ray-side agent, dynctl_agent.
// See docs/protocol.md for what it does and actors/ray for how it gets there.
package agent

import "embed"

// Sources is the Python package dynctl_agent, without its tests.
//
//go:embed dynctl_agent/*.py dynctl_agent/*/*.py
var Sources embed.FS
