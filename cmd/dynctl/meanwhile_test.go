package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/state"
	"dynctl/state/kv"
)

const modelDocument = `{"apiVersion":"dynctl/v1alpha1","kind":"Model","metadata":{"name":"%s"},"spec":%s}`

// somebody writes a spec as another user would.
func somebody(t *testing.T, c *kv.Client, name, spec string) uint64 {
	t.Helper()
	revision, err := c.PutSpec(t.Context(), state.ModelKey("default", name), fmt.Appendf(nil, modelDocument, name, spec),
		kv.PutOptions{Author: "eve", Comment: "mine"})
	if err != nil {
		t.Fatal(err)
	}
	return revision
}

// ready has the reconciler say that a revision is Ready.
func ready(t *testing.T, c *kv.Client, name string, revision uint64) {
	t.Helper()
	key := state.ModelKey("default", name)
	if _, err := c.PutStatus(t.Context(), state.Status{
		Key: key.String(), Kind: key.Kind, Server: key.Server, Name: key.Name, ObservedRevision: revision,
		Conditions: []state.Condition{{Type: state.CondReady, Status: state.StatusTrue}},
	}); err != nil {
		t.Fatal(err)
	}
}

// setBeside sets two models, lets somebody act once the first is stored and told, and
// returns the exit code and what was printed.
func setBeside(t *testing.T, act func(), flags ...string) (int, string) {
	t.Helper()
	docs := fmt.Sprintf(modelDocument, "a", `{"model":"x/a"}`) + "\n---\n" + fmt.Sprintf(modelDocument, "b", `{"model":"x/b"}`)
	var out, errs bytes.Buffer
	stdout := onWrite(func(text string) {
		if out.WriteString(text); text == "model/a created\n" {
			act()
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	code := newApp(strings.NewReader(docs), stdout, &errs).run(ctx, append([]string{"set", "-"}, flags...))
	return code, out.String() + errs.String()
}

// What somebody writes between the check and the write is not lost.
func TestSetOverwritesNobody(t *testing.T) {
	for _, row := range []struct {
		name, theirs string
		code         int
		says         string
	}{
		{"something else", `{"model":"x/other"}`, exit.Conflict, "model/b was changed by somebody else in the meantime (revision 3 by eve: mine)"},
		{"the same", `{"model":"x/b"}`, exit.OK, "model/b created"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := newStore(t)
			code, text := setBeside(t, func() { somebody(t, c, "b", row.theirs) })
			if code != row.code || !strings.Contains(text, row.says) {
				t.Errorf("exit code %d: %s", code, text)
			}
			e, err := c.GetSpec(t.Context(), state.ModelKey("default", "b"))
			if err != nil || !strings.Contains(string(e.Value), row.theirs) {
				t.Errorf("%s, %v stands there", e.Value, err)
			}
		})
	}
}

// set --wait ends well only if what was set is Ready, not what somebody set after it.
func TestSetWaitsForWhatWasSet(t *testing.T) {
	for _, row := range []struct {
		name, theirs string
		code         int
		says         string
	}{
		{"replaced", `{"model":"x/other"}`, exit.Conflict, "model/a: what was set (revision 2) was replaced by somebody else while waiting for it (revision 3 by eve: mine)"},
		{"scaled and restarted", `{"model":"x/a","replicas":3,"restart":"now"}`, exit.OK, "model/a Ready=True"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := newStore(t)
			code, text := setBeside(t, func() {
				ready(t, c, "a", somebody(t, c, "a", row.theirs))
				ready(t, c, "b", 4)
			}, "--wait", "--timeout", "10s")
			if code != row.code || !strings.Contains(text, row.says) {
				t.Errorf("exit code %d: %s", code, text)
			}
		})
	}
}

// An edit that somebody was faster than is made to what they wrote.
func TestEditLosesNothing(t *testing.T) {
	c := newStore(t)
	somebody(t, c, "a", `{"model":"x/a"}`)
	edit := func(change func(*document) error) (int, string) {
		var out bytes.Buffer
		err := newApp(strings.NewReader(""), &out, &out).edit(t.Context(), "model/a", "suspend", change)
		return exit.CodeOf(err), fmt.Sprint(out.String(), err)
	}
	tries := 0
	code, text := edit(func(d *document) error {
		if tries++; tries == 1 {
			somebody(t, c, "a", `{"model":"x/a","replicas":3}`)
		}
		return d.set(true, "spec", "suspend")
	})
	e, err := c.GetSpec(t.Context(), state.ModelKey("default", "a"))
	if want := fmt.Sprintf(modelDocument, "a", `{"model":"x/a","replicas":3,"suspend":true}`); code != exit.OK || err != nil || string(e.Value) != want {
		t.Errorf("exit code %d: %s\n%s, %v stands there", code, text, e.Value, err)
	}
	somebody(t, c, "a", `{"model":"x/a"}`)
	code, text = edit(func(d *document) error {
		tries++
		somebody(t, c, "a", fmt.Sprintf(`{"model":"x/a","replicas":%d}`, tries))
		return d.set(true, "spec", "suspend")
	})
	if code != exit.Conflict || !strings.Contains(text, "dynctl history model/a") {
		t.Errorf("beside somebody who never stops: exit code %d: %s", code, text)
	}
}

// A rollback says who was faster, and what to do.
func TestChangedMeanwhile(t *testing.T) {
	c := newStore(t)
	somebody(t, c, "a", `{"model":"x/a"}`)
	key := state.ModelKey("default", "a")
	if _, err := c.DeleteSpec(t.Context(), key, kv.DeleteOptions{Author: "adam"}); err != nil {
		t.Fatal(err)
	}
	const want = "model/a was changed by somebody else in the meantime (revision 3 by adam, a deletion): look at it with `dynctl history model/a`, then do this again"
	if err := changedMeanwhile(t.Context(), c, key); exit.CodeOf(err) != exit.Conflict || err.Error() != want {
		t.Errorf("exit code %d: %v", exit.CodeOf(err), err)
	}
}
