package ray

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCredentialsAreOnNoCommandLine: what the agent logs in with travels in the job's
// environment alone, and a change of it makes a running agent the wrong one.
func TestCredentialsAreOnNoCommandLine(t *testing.T) {
	c := AgentConfig{NATSURL: "nats://h:4222", StoreID: "s", NATSCreds: map[string]string{"user": "me", "password": "hush"}}
	entrypoint, err := c.entrypoint()
	if err != nil {
		t.Fatal(err)
	}
	if got := configOf(t, entrypoint); got.NATSCreds != nil || got.NATSURL != c.NATSURL {
		t.Errorf("the entrypoint says %+v", got)
	}
	env, err := c.runtimeEnv("gcs://p.zip")
	if err != nil {
		t.Fatal(err)
	}
	vars, _ := env["env_vars"].(map[string]string)
	var creds map[string]string
	if err := json.Unmarshal([]byte(vars["DYNCTL_NATS_CREDS"]), &creds); err != nil || !cmp.Equal(creds, c.NATSCreds) {
		t.Errorf("the environment says %v (%v)", vars, err)
	}
	before, _ := c.settings()
	c.NATSCreds = map[string]string{"user": "me", "password": "other"}
	if after, _ := c.settings(); after == before {
		t.Error("another password is the same settings")
	}
	c.NATSCreds = nil
	if env, _ := c.runtimeEnv("gcs://p.zip"); env["env_vars"] != nil {
		t.Errorf("without credentials there is %v", env)
	}
}
