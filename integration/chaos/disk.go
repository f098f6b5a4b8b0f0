package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// diskSize bounds the reconciler's store, so that it can be filled up: in bytes.
// The event stream reserves half of it.
const diskSize = 2 << 30

// mountDisk gives the reconciler's store a small file system of its own. That takes
// root; what it returns unmounts it again.
func mountDisk(dir string) (unmount func() error, err error) {
	if os.Geteuid() != 0 {
		fmt.Println("chaos: not root, so the store has no small disk of its own, and \"disk full\" is left out")
		return nil, nil
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", diskSize)); err != nil {
		return nil, fmt.Errorf("mount a small file system on %s: %w", dir, err)
	}
	return func() error { return syscall.Unmount(dir, syscall.MNT_DETACH) }, nil
}

// fillDisk leaves no byte to the spec store for some seconds, and kills a worker
// meanwhile. Then there is room again, and nothing may be lost.
func (w *world) fillDisk(ctx context.Context) (string, error) {
	if !w.cfg.disk {
		return "", errNotNow
	}
	path := filepath.Join(w.setup.DataDir, "filler")
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	n, err := io.Copy(f, zeros{})
	if !errors.Is(err, syscall.ENOSPC) {
		return "", errors.Join(err, f.Close(), os.Remove(path), errNotNow)
	}
	w.delay(storeFull)
	what, err := w.killWorker(ctx)
	time.Sleep(time.Duration(2000+w.rnd.IntN(4000)) * time.Millisecond)
	return fmt.Sprintf("by %d MiB, and killed %s", n>>20, what), errors.Join(err, f.Close(), os.Remove(path))
}

// zeros is a file without an end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
