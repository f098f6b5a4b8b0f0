//go:build integration

package integration

import (
	"fmt"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := closeShared(code != 0); err != nil {
		fmt.Fprintln(os.Stderr, "end of the shared environment:", err)
		code = 1
	}
	os.Exit(code)
}
