package local

import (
	"os"
	"slices"
	"testing"
)

// TestEnviron: what the machine's user has set counts, and a token of some other Ray in
// the home directory does not.
func TestEnviron(t *testing.T) {
	t.Setenv("RAY_AUTH_MODE", "token")
	t.Setenv("RAY_ADDRESS", "10.0.0.1:6379")
	env := environ(Config{TempDir: "/tmp/x", Venv: "/venv"})
	if !slices.Contains(env, "RAY_AUTH_MODE=token") || slices.Contains(env, "RAY_AUTH_MODE=disabled") {
		t.Error("RAY_AUTH_MODE=token is not handed on alone")
	}
	if slices.Contains(env, "RAY_ADDRESS=10.0.0.1:6379") {
		t.Error("another cluster's address is handed on")
	}
	if err := os.Unsetenv("RAY_AUTH_MODE"); err != nil { // Setenv puts it back
		t.Fatal(err)
	}
	if env := environ(Config{TempDir: "/tmp/x", Venv: "/venv"}); !slices.Contains(env, "RAY_AUTH_MODE=disabled") {
		t.Error("without a word a head would take whatever token lies in the home directory")
	}
}

// TestNodeHealth: a cluster of several nodes notices a dead one soon, unless the machine's
// user says otherwise.
func TestNodeHealth(t *testing.T) {
	for _, name := range []string{"RAY_health_check_period_ms", "RAY_health_check_timeout_ms"} {
		t.Setenv(name, "") // puts it back
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("RAY_health_check_timeout_ms", "7000")
	several, one := environ(Config{Nodes: 2}), environ(Config{Nodes: 1})
	if !slices.Contains(several, "RAY_health_check_period_ms=1000") || slices.Contains(one, "RAY_health_check_period_ms=1000") {
		t.Error("set for several nodes alone")
	}
	if slices.Contains(several, "RAY_health_check_timeout_ms=2000") || !slices.Contains(several, "RAY_health_check_timeout_ms=7000") {
		t.Error("what the user has set does not count")
	}
}
