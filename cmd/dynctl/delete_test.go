package main

import (
	"strings"
	"testing"

	"dynctl/state/kv"
)

// A server that is deleted runs until its models are deleted too, and dynctl says so.
func TestDeleteAServerWithModels(t *testing.T) {
	client := newStore(t)
	for _, name := range []string{"a", "b", "c", "d"} {
		putValue(t, client.JetStream(), kv.BucketSpecs, "model.s."+name, "no document")
	}
	putValue(t, client.JetStream(), kv.BucketSpecs, "server.s", "no document")
	putValue(t, client.JetStream(), kv.BucketSpecs, "model.other.x", "no document")
	const kept = "runs until these are deleted too: model/a, model/b, model/c, 1 more"
	if code, stdout, stderr := execute(t, "delete", "server/s", "--dry-run"); code != 0 || !strings.Contains(stdout, kept) {
		t.Errorf("a dry run: exit code %d\n%s%s", code, stdout, stderr)
	}
	if code, stdout, stderr := execute(t, "delete", "server/s"); code != 0 || !strings.Contains(stdout, kept) {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	putValue(t, client.JetStream(), kv.BucketSpecs, "server.s", "no document")
	code, stdout, stderr := execute(t, "delete", "server/s", "model/a", "model/b", "model/c", "model/d")
	if code != 0 || strings.Contains(stdout, "runs until") || strings.Count(stdout, "deleted") != 5 {
		t.Errorf("with its models: exit code %d\n%s%s", code, stdout, stderr)
	}
}
