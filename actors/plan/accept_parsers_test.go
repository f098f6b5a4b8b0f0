package plan_test

import (
	"strings"
	"testing"

	"dynctl/actors"
	"dynctl/actors/accept"
	"dynctl/state"
	"dynctl/state/engineflags"
)

// parsed takes revisions of one model, by the parsers of the nodes.
type parsed struct {
	t   *testing.T
	set engineflags.Set
}

func nodesParser(t *testing.T) parsed {
	t.Helper()
	table, err := engineflags.Parse([]byte(`{"program": "mocker", "versions": {"ai-dynamo": "1.5.0"}, "parsers": [{"flags": [{"names": ["--max-model-len"], "kind": "int"}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	table.FromNodes = true
	return parsed{t, engineflags.Set{engineflags.Mocker: table}}
}

func (p parsed) revise(text string, statuses map[state.Key]state.Status, memo *accept.Memo) (actors.DesiredModel, accept.Kept) {
	p.t.Helper()
	docs, err := state.Decode("a.yaml", []byte(model("a", text)))
	if err != nil {
		p.t.Fatal(err)
	}
	key := state.ModelKey("default", "a")
	d, kept := accept.Revisions(accept.Input{Synced: true, Entries: []*accept.Entry{{Key: key, Revision: 1, Doc: docs[0]}},
		Statuses: statuses, Parsers: p.set, Memo: memo})
	return *d.Models[0], kept[key]
}

const withBlockSize = "  engineArgs: {block_size: 16}\n"

// What the nodes' own parser does not know is refused in a new revision; a runtime_env
// may bring another program.
func TestTheParserOfTheNodesCounts(t *testing.T) {
	p := nodesParser(t)
	if m, _ := p.revise(withBlockSize, nil, nil); m.Rejected == nil || m.Rejected.Reason != state.ReasonUnknownArgument ||
		!strings.Contains(m.Rejected.Message, "ai-dynamo 1.5.0") {
		t.Errorf("rejected %+v, want %s", m.Rejected, state.ReasonUnknownArgument)
	}
	if m, _ := p.revise("  engineArgs: {max_model_len: 16}\n", nil, nil); m.Rejected != nil || m.Accepted != 1 {
		t.Errorf("rejected %+v", m.Rejected)
	}
	if m, _ := p.revise(withBlockSize+"  runtimeEnv: {pip: [ai-dynamo]}\n", nil, nil); m.Rejected != nil || m.Accepted != 1 {
		t.Errorf("with packages of its own: rejected %+v", m.Rejected)
	}
}

// What was accepted before the nodes' own parser was known runs on, with a warning.
func TestTheParserOfTheNodesChangesNothingThatRuns(t *testing.T) {
	memo := &accept.Memo{}
	before, kept := parsed{t: t}.revise(withBlockSize, nil, memo)
	if before.Rejected != nil || len(before.Warnings) > 0 {
		t.Fatalf("by the recorded table: rejected %+v, warns %v", before.Rejected, before.Warnings)
	}
	key := state.ModelKey("default", "a")
	statuses := map[state.Key]state.Status{key: {Key: key.String(), Kind: state.KindModel, Server: "default", Name: "a",
		ObservedRevision: 1, AcceptedRevision: 1, AcceptedSpec: kept.Spec, Template: kept.Template}}
	after, _ := nodesParser(t).revise(withBlockSize, statuses, memo)
	if after.Rejected != nil || after.Template.Generation != before.Template.Generation || len(after.Warnings) != 1 || after.Warnings[0].Path != "spec.engineArgs.block_size" {
		t.Errorf("the nodes' table has it %s (was %s), rejected %+v, warns %v", after.Template.Generation, before.Template.Generation, after.Rejected, after.Warnings)
	}
}
