package ray

import (
	"archive/zip"
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// sources are an agent's, with what is left out of a package.
func sources() fstest.MapFS {
	return fstest.MapFS{
		"dynctl_agent/__init__.py":                   {Data: []byte("")},
		"dynctl_agent/__main__.py":                   {Data: []byte("main")},
		"dynctl_agent/__pycache__/x.cpython-311.pyc": {Data: []byte("cache")},
	}
}

// wheelOf is a wheel of files that hold their own names.
func wheelOf(t *testing.T, files ...string) fstest.MapFS {
	t.Helper()
	var raw bytes.Buffer
	w := zip.NewWriter(&raw)
	for _, name := range files {
		f, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return fstest.MapFS{"deps/README.md": {Data: []byte("read me")}, "deps/nats_py-1-py3-none-any.whl": {Data: raw.Bytes()}}
}

// unzipped are the files of a package, none of which may carry a time.
func unzipped(t *testing.T, p Package) []*zip.File {
	t.Helper()
	r, err := zip.NewReader(bytes.NewReader(p.Zip), int64(len(p.Zip)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.File {
		if !f.Modified.IsZero() && f.Modified.After(time.Date(1981, 1, 1, 0, 0, 0, 0, time.UTC)) {
			t.Errorf("%s carries a time: %s", f.Name, f.Modified)
		}
	}
	return r.File
}

func namesOf(files []*zip.File) (names []string) {
	for _, f := range files {
		names = append(names, f.Name)
	}
	return names
}

func packed(t *testing.T, sources, deps fstest.MapFS) Package {
	t.Helper()
	p, err := NewPackage(sources, deps)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPackage(t *testing.T) {
	base := packed(t, sources(), fstest.MapFS{"deps/README.md": {}})
	t.Run("sources alone, sorted, without caches", func(t *testing.T) {
		if got := namesOf(unzipped(t, base)); !slices.Equal(got, []string{"dynctl_agent/__init__.py", "dynctl_agent/__main__.py"}) || base.Wheels != nil {
			t.Errorf("%v, wheels %v", got, base.Wheels)
		}
	})
	t.Run("equal files, equal hash and zip", func(t *testing.T) {
		touched := sources()
		touched["dynctl_agent/__main__.py"].ModTime = time.Now()
		delete(touched, "dynctl_agent/__pycache__/x.cpython-311.pyc")
		if again := packed(t, touched, fstest.MapFS{}); again.Hash != base.Hash || !bytes.Equal(again.Zip, base.Zip) {
			t.Error("a new time or a cache makes another package")
		}
	})
	t.Run("other content, other hash", func(t *testing.T) {
		edited := sources()
		edited["dynctl_agent/__main__.py"].Data = []byte("other")
		renamed := sources()
		renamed["dynctl_agent/other.py"] = renamed["dynctl_agent/__main__.py"]
		delete(renamed, "dynctl_agent/__main__.py")
		for _, files := range []fstest.MapFS{edited, renamed} {
			if packed(t, files, fstest.MapFS{}).Hash == base.Hash {
				t.Error("the hash stays")
			}
		}
	})
}

func TestPackageWithWheels(t *testing.T) {
	t.Run("a wheel is unpacked beside the sources", func(t *testing.T) {
		p := packed(t, sources(), wheelOf(t, "nats/__init__.py", "nats_py-1.dist-info/METADATA", "dynctl_agent/__main__.py"))
		want := []string{"dynctl_agent/__init__.py", "dynctl_agent/__main__.py", "nats/__init__.py", "nats_py-1.dist-info/METADATA"}
		files := unzipped(t, p)
		if got := namesOf(files); !slices.Equal(got, want) || !slices.Equal(p.Wheels, []string{"nats_py-1-py3-none-any.whl"}) {
			t.Errorf("%v, wheels %v", got, p.Wheels)
		}
		if files[1].UncompressedSize64 != uint64(len("main")) {
			t.Error("the wheel replaced a file of the agent")
		}
	})
	t.Run("compiled code is refused", func(t *testing.T) {
		if _, err := NewPackage(sources(), wheelOf(t, "x/y.so")); !errors.Is(err, ErrDeps) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a broken wheel is refused", func(t *testing.T) {
		_, err := NewPackage(sources(), fstest.MapFS{"deps/x.whl": {Data: []byte("no zip")}})
		if !errors.Is(err, ErrDeps) || !strings.Contains(err.Error(), "make agent-deps") {
			t.Errorf("got %v", err)
		}
	})
}

func TestAgentPackageHoldsTheAgent(t *testing.T) {
	p, err := AgentPackage()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(p.Zip, []byte("dynctl_agent/__init__.py")) || len(p.Hash) != 32 {
		t.Errorf("hash %q", p.Hash)
	}
}
