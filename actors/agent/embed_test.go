package agent

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// Every module travels, in whichever folder it lies: the patterns of an embed take no
// folder below those that they name.
func TestEveryModuleIsEmbedded(t *testing.T) {
	modules := 0
	err := fs.WalkDir(os.DirFS("."), "dynctl_agent", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".py" {
			return err
		}
		modules++
		if _, err := fs.Stat(Sources, path); err != nil {
			t.Error(err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if modules < 50 {
		t.Errorf("%d modules were found", modules)
	}
}
