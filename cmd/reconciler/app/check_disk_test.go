package app

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dynctl/state/kv"
	"dynctl/state/kv/natsd"
)

// TestALowDiskIsTold: a disk that is nearly full makes /readyz degraded, and says
// where; one with room does not.
func TestALowDiskIsTold(t *testing.T) {
	small := smallDisk(t, "64m")
	for dir, want := range map[string]string{small: checkDegraded, t.TempDir(): checkOK} {
		s, err := natsd.Start(natsd.Options{StoreDir: dir, Port: -1})
		if err != nil {
			t.Fatal(err)
		}
		found := checkDisk(&App{natsd: s}, nil)
		got, text := found.State, found.Text
		if got != want || want == checkDegraded && !strings.Contains(text, dir) {
			t.Errorf("%s: %s %q, want %s", dir, got, text, want)
		}
		if dir == small {
			testNearlyFull(t, s, dir)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		cancel()
	}
	if got := checkDisk(&App{}, nil).State; got != checkOK {
		t.Errorf("an external NATS: %s", got)
	}
}

// testNearlyFull leaves 14, then 20 MiB free: nothing was refused yet, and nothing is said
// to be.
func testNearlyFull(t *testing.T, s *natsd.Server, dir string) {
	t.Helper()
	filler := filepath.Join(dir, "filler")
	for _, size := range []int{50 << 20, 44 << 20} {
		if err := os.WriteFile(filler, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
		found := checkDisk(&App{natsd: s}, nil)
		got, text := found.State, found.Text
		if got != checkDegraded || !found.Soon || !strings.HasPrefix(text, "disk of the store is nearly full; free space at "+dir) ||
			!strings.Contains(text, "will be refused") || strings.Contains(text, "are refused") {
			t.Errorf("%d MiB are taken: %s %q", size>>20, got, text)
		}
	}
}

// A store that cannot be written to is told by why: not every one lies on a full disk.
func TestAFailedStoreIsNotCalledFull(t *testing.T) {
	for why, d := range map[string]natsd.Disk{
		"disk of the store is full; free space at /d": {Dir: "/d", Failed: true, Low: true, Full: true, Refusal: syscall.ENOSPC},
		"store takes no writes though its disk is not full: nothing can be written to /d (read-only file system; x); see to its mount": {Dir: "/d", Free: 200 << 30, Failed: true, Full: true,
			Refusal: errors.Join(syscall.EROFS, errors.New("x"))},
		"store takes no writes though its disk is not full: nothing can be written to /d; see to its mount": {Dir: "/d", Failed: true, Full: true},
		"disk of the store is nearly full; free space at /d":                                                {Dir: "/d", Low: true, Full: true},
	} {
		if text := fullText(d); !strings.HasPrefix(text, why) {
			t.Errorf("%+v: %q, want %q", d, text, why)
		}
	}
}

// smallDisk is a file system of its own of a size, until the test ends.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatalf("this needs root, to mount a small file system: run it as root, or leave it out with -skip %s", t.Name())
	}
	small := filepath.Join(t.TempDir(), "small")
	if err := os.Mkdir(small, 0o700); err != nil {
		t.Fatal(err)
	}
	mount := func(name string, args ...string) {
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
	mount("mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", small)
	t.Cleanup(func() { mount("umount", small) })
	return small
}

// TestABucketNearItsBoundIsTold: the sizes of the buckets are told, and the flag of
// one that will refuse what is new.
func TestABucketNearItsBoundIsTold(t *testing.T) {
	for bytes, want := range map[uint64]string{100: checkOK, 900: checkDegraded, 1000: checkDegraded} {
		a := &App{}
		a.sizes.Store(&[]kv.BucketSize{{Name: kv.BucketSpecs, Bytes: bytes, Max: 1000}, {Name: "DYNCTL_EVENTS", Bytes: 1000, Max: 1000}})
		found := checkDisk(a, nil)
		got, text := found.State, found.Text
		if got != want || strings.Contains(text, "--max-spec-bytes") != (want == checkDegraded) || !strings.Contains(text, "DYNCTL_EVENTS 0.0 MiB") {
			t.Errorf("%d bytes: %s %q", bytes, got, text)
		}
	}
}
