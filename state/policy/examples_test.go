package policy

import (
	"os"
	"path/filepath"
	"testing"

	"dynctl/state"
)

// TestExamplesPassTheDefaults: what we publish runs without a policy's file.
func TestExamplesPassTheDefaults(t *testing.T) {
	seen := 0
	for _, pattern := range []string{"*.yaml", "recipes/*.yaml"} {
		files, err := filepath.Glob("../../examples/" + pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			docs, err := state.Decode(file, raw)
			if err != nil {
				t.Fatal(err)
			}
			for _, doc := range docs {
				seen++
				var found []Denial
				if o := doc.Object; o.Server != nil {
					found = Default().Server(o.Server.WithDefaults())
				} else {
					found = Default().Model(o.Model.WithDefaults())
				}
				for _, d := range found {
					t.Errorf("%s: %s", file, d.Invalid())
				}
			}
		}
	}
	if seen < 20 {
		t.Errorf("%d documents", seen)
	}
}
