package main

import (
	"fmt"
	"strings"
	"testing"

	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/state"
)

// What runs can be gone back to after any number of revisions that were rejected, with
// and without its number.
func TestRollbackBeyondTheHistory(t *testing.T) {
	for _, flags := range []string{"", " --to 2"} {
		c := newStore(t)
		key := state.ModelKey("default", "a")
		accepted := somebody(t, c, "a", `{"model":"x/a"}`)
		if _, err := c.PutStatus(t.Context(), state.Status{
			Key: key.String(), Kind: key.Kind, Server: key.Server, Name: key.Name, AcceptedRevision: accepted,
			AcceptedSpec: fmt.Appendf(nil, modelDocument, "a", `{"model":"x/a"}`),
		}); err != nil {
			t.Fatal(err)
		}
		for range 64 {
			somebody(t, c, "a", `{"modell":"x/a"}`)
		}
		code, stdout, stderr := execute(t, strings.Fields("rollback model/a"+flags)...)
		if code != exit.OK || !strings.Contains(stdout, "rolled back to revision 2 (revision 67)") {
			t.Errorf("rollback%s: exit code %d: %s%s", flags, code, stdout, stderr)
		}
	}
}
