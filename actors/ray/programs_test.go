package ray

import (
	"archive/zip"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// programsIn writes both programs into a directory of the test.
func programsIn(t *testing.T, content string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range programNames {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content+name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFindPrograms(t *testing.T) {
	one := programsIn(t, "one")
	found, err := FindPrograms(one)
	// The actors compare this hash with what they unpack (tests/test_carried.py has the same).
	if err != nil || found.URI() != "gcs://_ray_pkg_095dfa5506832e3711ebefaea695a9c1.zip" {
		t.Errorf("found %q, %v", found.URI(), err)
	}
	packed, err := found.zip()
	if err != nil {
		t.Fatal(err)
	}
	r, err := zip.NewReader(bytes.NewReader(packed), int64(len(packed)))
	if err != nil || len(r.File) != 2 || r.File[0].Name != "etcd" || r.File[1].Name != "nats-server" {
		t.Errorf("packed %v, %v", r, err)
	}
	if err := os.WriteFile(filepath.Join(one, "etcd"), []byte("another"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := found.zip(); !errors.Is(err, ErrPrograms) {
		t.Errorf("packed others than it was told of: %v", err)
	}
	if err := os.Remove(filepath.Join(one, "etcd")); err != nil {
		t.Fatal(err)
	}
	if found, err := FindPrograms(one); err != nil || found.URI() != "" {
		t.Errorf("of one program alone: %q, %v", found.URI(), err)
	}
}

// TestProgramsTravelWhenTheyAreWanted: once for as long as Ray keeps them, by whoever
// supervises the agent, and never otherwise.
func TestProgramsTravelWhenTheyAreWanted(t *testing.T) {
	dir := programsIn(t, "one")
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRay()
		cfg := configFor(t, f)
		var err error
		if cfg.Programs, err = FindPrograms(dir); err != nil {
			t.Fatal(err)
		}
		wants := ""
		cfg.Heartbeat = func() (Heartbeat, bool) {
			beat, known := f.heartbeat()
			beat.Wants = wants
			return beat, known
		}
		_, end := start(t, cfg, f)
		defer end()
		carried := func() bool {
			var there bool
			f.set(func() { there = f.packages[cfg.Programs.name()] != nil })
			return there
		}
		pass(time.Minute)
		if carried() {
			t.Error("they travelled although no node lacks them")
		}
		for _, of := range []struct {
			name string
			want bool
		}{{"gcs://_ray_pkg_of_another_release.zip", false}, {cfg.Programs.URI(), true}} {
			f.set(func() { wants = of.name })
			if pass(2 * time.Second); carried() != of.want {
				t.Errorf("%s is wanted: carried %v, want %v", of.name, carried(), of.want)
			}
		}
		f.set(func() { delete(f.packages, cfg.Programs.name()) }) // collected, or Ray's store is new
		if pass(2 * pinAgain); !carried() {
			t.Error("they are wanted, and not there any more")
		}
	})
}
