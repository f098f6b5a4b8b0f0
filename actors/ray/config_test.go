package ray

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCredentialsAreOnNoCommandLine: what the agent logs in with travels in the job's
// metadata alone, which Ray puts on no command line, and a change of it makes a running agent the wrong one.
func TestCredentialsAreOnNoCommandLine(t *testing.T) {
	c := AgentConfig{NATSURL: "nats://h:4222", StoreID: "s", NATSCreds: map[string]string{"user": "me", "password": "hush"}}
	entrypoint, err := c.entrypoint()
	if err != nil {
		t.Fatal(err)
	}
	if got := configOf(t, entrypoint); got.NATSCreds != nil || got.NATSURL != c.NATSURL {
		t.Errorf("the entrypoint says %+v", got)
	}
	meta, err := c.metadata("hash", "settings")
	if err != nil {
		t.Fatal(err)
	}
	var creds map[string]string
	if err := json.Unmarshal([]byte(meta["dynctl/nats-creds"]), &creds); err != nil || !cmp.Equal(creds, c.NATSCreds) {
		t.Errorf("the metadata says %v (%v)", meta, err)
	}
	before, _ := c.settings()
	c.NATSCreds = map[string]string{"user": "me", "password": "other"}
	if after, _ := c.settings(); after == before {
		t.Error("another password is the same settings")
	}
	c.NATSCreds = nil
	if meta, _ := c.metadata("hash", "settings"); len(meta) != 3 {
		t.Errorf("without credentials the metadata is %v", meta)
	}
}
