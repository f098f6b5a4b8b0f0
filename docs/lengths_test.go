package docs

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// mostLines is how long a file of code may be, tests and generated ones included.
const mostLines = 400

// No file of code is so long that nobody reads it to its end.
func TestFilesAreShort(t *testing.T) {
	root, err := os.OpenRoot("..")
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	paths := codeBelow(t, root.FS())
	if len(paths) < 500 {
		t.Errorf("only %d files were found", len(paths))
	}
	for _, path := range paths {
		text, err := fs.ReadFile(root.FS(), path)
		if err != nil {
			t.Fatal(err)
		}
		if lines := bytes.Count(text, []byte("\n")); lines > mostLines {
			t.Errorf("%s has %d lines, of at most %d: split it by what it is about", path, lines, mostLines)
		}
	}
}

// codeBelow are the files of code, without those that are built or fetched.
func codeBelow(t *testing.T, tree fs.FS) (paths []string) {
	t.Helper()
	err := fs.WalkDir(tree, ".", func(path string, d fs.DirEntry, err error) error {
		switch name := d.Name(); {
		case err != nil:
			return err
		case !d.IsDir():
			if ext := filepath.Ext(name); ext == ".go" || ext == ".py" {
				paths = append(paths, path)
			}
		case slices.Contains([]string{"bin", "node_modules", "testdata"}, name), len(name) > 1 && name[0] == '.':
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}
