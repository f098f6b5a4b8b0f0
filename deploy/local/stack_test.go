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
