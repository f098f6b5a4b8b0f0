//go:build integration

package integration

import (
	"fmt"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	// The reconcilers leave their contexts here, and not in the home of whoever runs this.
	config, err := os.MkdirTemp("", "dynctl-config-")
	if err == nil {
		err = os.Setenv("XDG_CONFIG_HOME", config)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := closeShared(code != 0); err != nil {
		fmt.Fprintln(os.Stderr, "end of the shared environment:", err)
		code = 1
	}
	_ = os.RemoveAll(config) // of no use to anybody
	os.Exit(code)
}
