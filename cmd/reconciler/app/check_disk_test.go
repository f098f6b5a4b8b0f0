package app

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dynctl/state/kv/natsd"
)

// TestALowDiskIsTold: a disk that is nearly full makes /readyz degraded, and says
// where; one with room does not.
func TestALowDiskIsTold(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this needs root, to mount a small file system: run it as root, or leave it out with -skip TestALowDiskIsTold")
	}
	small := filepath.Join(t.TempDir(), "small")
	if err := os.Mkdir(small, 0o700); err != nil {
		t.Fatal(err)
	}
	mount := func(name string, args ...string) {
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", name, err, out)
		}
	}
	mount("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", small)
	defer mount("umount", small)
	for dir, want := range map[string]string{small: checkDegraded, t.TempDir(): checkOK} {
		s, err := natsd.Start(natsd.Options{StoreDir: dir, Port: -1})
		if err != nil {
			t.Fatal(err)
		}
		got, text := checkDisk(&App{natsd: s}, nil)
		if got != want || want == checkDegraded && !strings.Contains(text, dir) {
			t.Errorf("%s: %s %q, want %s", dir, got, text, want)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		cancel()
	}
	if got, _ := checkDisk(&App{}, nil); got != checkOK {
		t.Errorf("an external NATS: %s", got)
	}
}
