package plan_test

import (
	"strings"
	"testing"

	"dynctl/actors"
	"dynctl/actors/accept"
	"dynctl/state"
	"dynctl/state/engineflags"
)

// What the nodes' own parser does not know is refused in a new revision; what was
// accepted before runs on with a warning; a runtime_env may bring another program.
func TestTheParserOfTheNodesCounts(t *testing.T) {
	table, err := engineflags.Parse([]byte(`{"program": "mocker", "versions": {"ai-dynamo": "1.5.0"}, "parsers": [{"flags": [{"names": ["--max-model-len"], "kind": "int"}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	table.FromNodes = true
	key := state.ModelKey("default", "a")
	revise := func(text string, set engineflags.Set, statuses map[state.Key]state.Status, memo *accept.Memo) (actors.DesiredModel, accept.Kept) {
		docs, err := state.Decode("a.yaml", []byte(model("a", text)))
		if err != nil {
			t.Fatal(err)
		}
		d, kept := accept.Revisions(accept.Input{Synced: true, Entries: []accept.Entry{{Key: key, Revision: 1, Doc: docs[0]}},
			Statuses: statuses, Parsers: set, Memo: memo})
		return d.Models[0], kept[key]
	}
	const block = "  engineArgs: {block_size: 16}\n"
	set := engineflags.Set{engineflags.Mocker: table}
	if m, _ := revise(block, set, nil, nil); m.Rejected == nil || m.Rejected.Reason != state.ReasonUnknownArgument ||
		!strings.Contains(m.Rejected.Message, "ai-dynamo 1.5.0") {
		t.Errorf("rejected %+v, want %s", m.Rejected, state.ReasonUnknownArgument)
	}
	if m, _ := revise("  engineArgs: {max_model_len: 16}\n", set, nil, nil); m.Rejected != nil || m.Accepted != 1 {
		t.Errorf("rejected %+v", m.Rejected)
	}
	if m, _ := revise(block+"  runtimeEnv: {pip: [ai-dynamo]}\n", set, nil, nil); m.Rejected != nil || m.Accepted != 1 {
		t.Errorf("with packages of its own: rejected %+v", m.Rejected)
	}
	memo := &accept.Memo{}
	before, kept := revise(block, nil, nil, memo)
	if before.Rejected != nil || len(before.Warnings) > 0 {
		t.Fatalf("by the recorded table: rejected %+v, warns %v", before.Rejected, before.Warnings)
	}
	statuses := map[state.Key]state.Status{key: {Key: key.String(), Kind: state.KindModel, Server: "default", Name: "a",
		ObservedRevision: 1, AcceptedRevision: 1, AcceptedSpec: kept.Spec, Template: kept.Template}}
	after, _ := revise(block, set, statuses, memo)
	if after.Rejected != nil || after.Template.Generation != before.Template.Generation || len(after.Warnings) != 1 || after.Warnings[0].Path != "spec.engineArgs.block_size" {
		t.Errorf("the nodes' table has it %s (was %s), rejected %+v, warns %v", after.Template.Generation, before.Template.Generation, after.Rejected, after.Warnings)
	}
}
