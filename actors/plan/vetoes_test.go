package plan_test

import (
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"dynctl/actors/plan"
)

// TestEveryVetoHasItsStory: without any of the vetoes some story goes another way, so none
// is there without a reason that can be read.
func TestEveryVetoHasItsStory(t *testing.T) {
	files := storyFiles(t)
	for _, name := range plan.Vetoes() {
		t.Run(name, func(t *testing.T) {
			defer plan.WithoutVeto(name)()
			for _, file := range files {
				archive, err := txtar.ParseFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if !goesAsTold(archive) {
					t.Logf("told by %s", file)
					return
				}
			}
			t.Error("every story goes as it does with it")
		})
	}
}

// otherWay ends a story that goes another way.
type otherWay struct{}

func (otherWay) Errorf(string, ...any) { panic(otherWay{}) }
func (otherWay) Fatalf(string, ...any) { panic(otherWay{}) }

func goesAsTold(archive *txtar.Archive) (as bool) {
	defer func() {
		if r := recover(); r != nil && r != any(otherWay{}) {
			panic(r)
		}
	}()
	tell(otherWay{}, archive)
	return true
}
