package plan_test

import (
	"bytes"
	"maps"
	"regexp"
	"strings"
	"testing"

	"dynctl/actors"
	"dynctl/actors/accept"
	"dynctl/state"
)

// write puts a value into the spec bucket that need not be a document that can be read.
func (w *cluster) write(key state.Key, value string) {
	doc, err := state.DecodeValue(key, []byte(value))
	w.specs[key] = accept.Entry{Key: key, Revision: w.next(), Doc: doc, Err: err, At: w.now}
	w.changed = true
}

// rewriteKept has the status of an object keep another document.
func (w *cluster) rewriteKept(key state.Key, from, to string) {
	st := w.statuses[key]
	st.AcceptedSpec = bytes.ReplaceAll(st.AcceptedSpec, []byte(from), []byte(to))
	w.statuses[key] = st
	w.lasting.memo = accept.Memo{}
	w.changed = true
}

const laterModel = "apiVersion: dynctl/v2\nkind: Model\nmetadata: {name: a}\nspec: {model: org/a, engine: mocker}\n"

// TestASpecOfAnUnknownVersion: as after a downgrade, a spec is of a version that this program
// does not read. It is named, and what was accepted goes on, and is healed.
func TestASpecOfAnUnknownVersion(t *testing.T) {
	rows := map[string]func(w *cluster, key state.Key){
		"an edit": func(*cluster, state.Key) {},
		// A version that read it had accepted this very revision, and kept it in the
		// version that both know.
		"accepted by another version": func(w *cluster, key state.Key) {
			st := w.statuses[key]
			st.AcceptedRevision, st.ObservedRevision = w.specs[key].Revision, w.specs[key].Revision
			w.statuses[key] = st
		},
		"accepted with a field that is not known here": func(w *cluster, key state.Key) {
			w.rewriteKept(key, `"spec":{`, `"spec":{"later":{"x":[1]},`)
		},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			w, key := served(t)
			before := w.snapshotOf()
			w.write(key, laterModel)
			row(w, key)
			w.run(20)
			if now := w.snapshotOf(); !maps.Equal(now, before) {
				t.Fatalf("what runs is %v, was %v", now, before)
			}
			c := w.condition(key, state.CondAccepted)
			if c.Status != state.StatusFalse || c.Reason != state.ReasonUnknownVersion || !strings.Contains(c.Message, "dynctl/v2") {
				t.Errorf("Accepted is %+v", c)
			}
			if c := w.condition(key, state.CondAvailable); c.Status != state.StatusTrue {
				t.Errorf("Available is %+v", c)
			}
			u := w.of("a")[0]
			w.exit(u, &u.Actors[0], 1)
			w.run(20)
			if again := w.of("a"); len(again) != 1 || again[0].State != state.UnitRunning || again[0].Actors[0].Attempt != 2 {
				t.Errorf("it is not healed: %+v", again)
			}
		})
	}
}

// TestAnAcceptedSpecOfAnUnknownVersion: what was accepted itself cannot be read, of a model or
// of its server. All is left as it is, until the spec is written in a version that can be.
func TestAnAcceptedSpecOfAnUnknownVersion(t *testing.T) {
	for name, unread := range map[string]func(w *cluster, key state.Key){
		"a model": func(w *cluster, key state.Key) {
			w.write(key, laterModel)
			w.rewriteKept(key, state.APIVersion, "dynctl/v2")
		},
		"its server": func(w *cluster, _ state.Key) {
			server := state.ServerKey(state.DefaultServer)
			w.write(server, "apiVersion: dynctl/v2\nkind: Server\nmetadata: {name: default}\n")
			w.rewriteKept(server, state.APIVersion, "dynctl/v2")
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newCluster(node("1", 8))
			w.put("apiVersion: dynctl/v1alpha1\nkind: Server\nmetadata: {name: default}\nspec: {frontend: {port: 8123}}\n")
			server := state.ServerKey(state.DefaultServer)
			key := w.put(model("a", "")) // which history still has, and is not what runs
			w.past = map[state.Key][]accept.Entry{key: {w.specs[key]}, server: {w.specs[server]}}
			w.put(model("a", "  replicas: 2\n"))
			w.run(10)
			ready(t, w, key)
			before := w.snapshotOf()
			unread(w, key)
			was := maps.Clone(w.statuses)
			for range 20 {
				if r := w.round(); len(r.Starts)+len(r.Stops)+len(r.Sweeps)+len(r.Revokes) > 0 {
					t.Fatalf("something is done: %+v", r)
				}
			}
			for _, k := range []state.Key{key, server} {
				if now := w.statuses[k]; now.AcceptedRevision != was[k].AcceptedRevision || !bytes.Equal(now.AcceptedSpec, was[k].AcceptedSpec) {
					t.Errorf("%s: the status keeps revision %d, had %d: %s", k, now.AcceptedRevision, was[k].AcceptedRevision, now.AcceptedSpec)
				}
			}
			w.put("apiVersion: dynctl/v1alpha1\nkind: Server\nmetadata: {name: default}\nspec: {frontend: {port: 8123}}\n")
			w.put(model("a", "  replicas: 2\n"))
			w.run(20)
			if now := w.snapshotOf(); !maps.Equal(now, before) {
				t.Errorf("what runs is %v, was %v", now, before)
			}
			ready(t, w, key)
			if c := w.condition(key, state.CondUpToDate); c.Reason == actors.CondSpecMissing {
				t.Errorf("UpToDate is %+v", c)
			}
		})
	}
}

// TestATemplateOfAnotherVersionStays: what an older version of this program rendered for a
// server's accepted spec goes on as it is, under a version that would render something else.
func TestATemplateOfAnotherVersionStays(t *testing.T) {
	const ours, theirs = `"--advertise-client-urls"`, `"--advertise-as-before"`
	rows := map[string]func(template []byte) []byte{
		"with its revision": func(t []byte) []byte { return t },
		"from before its revision was kept": func(t []byte) []byte {
			return regexp.MustCompile(`"revision":\d+`).ReplaceAll(t, []byte(`"revision":0`))
		},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			w := newCluster(node("1", 8))
			server := w.put("apiVersion: dynctl/v1alpha1\nkind: Server\nmetadata: {name: default}\nspec: {frontend: {port: 8123}}\n")
			key := w.put(model("a", ""))
			w.run(10)
			ready(t, w, key)
			st := w.statuses[server]
			if st.Template = row(bytes.ReplaceAll(st.Template, []byte(ours), []byte(theirs))); !bytes.Contains(st.Template, []byte(theirs)) {
				t.Fatalf("the template is %s", st.Template)
			}
			w.statuses[server], w.lasting.memo, w.changed = st, accept.Memo{}, true
			w.put(model("b", "")) // so that the server is looked at
			w.run(10)
			if now := w.statuses[server].Template; !bytes.Contains(now, []byte(theirs)) || bytes.Contains(now, []byte(ours)) {
				t.Errorf("the template is rendered anew: %s", now)
			}
		})
	}
}
