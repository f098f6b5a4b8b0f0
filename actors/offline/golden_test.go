package offline

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"dynctl/actors"
	"dynctl/actors/accept"
	"dynctl/actors/place"
	"dynctl/actors/render"
	"dynctl/state"

	"github.com/rogpeppe/go-internal/txtar"
)

var updateRendered = flag.Bool("update-rendered", false, "rewrite the wanted files of testdata/render")

// TestRendered compares what specs render to with what a reviewer has read. The
// generations are part of it: were one to change with a version of the program,
// the workers of every user would roll.
func TestRendered(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "render", "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatal("no files to render", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			part := func(name string) []byte {
				i := slices.IndexFunc(archive.Files, func(f txtar.File) bool { return f.Name == name })
				if i < 0 {
					return nil
				}
				return archive.Files[i].Data
			}
			docs, err := state.Decode(file, part("specs.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			var nodes []state.Node
			if err := json.Unmarshal(part("nodes.json"), &nodes); err != nil {
				t.Fatal(err)
			}
			got := map[string]string{
				"rendered.json": mustJSON(t, Render(Input{Docs: docs, Nodes: nodes})),
				"units.json":    mustJSON(t, unitsOf(docs, nodes)),
			}
			if *updateRendered {
				archive.Files = archive.Files[:2]
				for _, name := range []string{"rendered.json", "units.json"} {
					archive.Files = append(archive.Files, txtar.File{Name: name, Data: []byte(got[name])})
				}
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			for name, text := range got {
				if want := string(part(name)); text != want {
					t.Errorf("%s:\n%s\n(go test ./actors/offline -run TestRendered -update-rendered)", name, firstDifference(text, want))
				}
			}
		})
	}
}

// unitsOf are the templates of the first unit of each role, as they travel in
// start events.
func unitsOf(docs []state.Doc, nodes []state.Node) []actors.UnitTemplate {
	desired, _ := accept.Revisions(accept.Input{Synced: true, Entries: offlineEntries(docs)})
	room := place.Empty(nodes)
	var units []actors.UnitTemplate
	for _, s := range desired.Servers {
		if shape, unfit := place.Infra(s.Template.Needs, room); unfit == nil {
			units = append(units, render.Infra(s.Template, "nemo_curator_dynamo", shape))
		}
	}
	for _, m := range desired.Models {
		for _, r := range m.Template.Roles {
			shape, unfit := place.Worker(r.Needs, room)
			if unfit != nil {
				continue
			}
			units = append(units, render.Worker(m.Template, render.WorkerInput{
				Role: r, Shape: shape, RayNamespace: "nemo_curator_dynamo", StartupTimeout: 1800e9,
				TerminationGracePeriod: 120e9, PlacementTimeout: 180e9,
			}))
		}
	}
	return units
}
