package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"dynctl/deploy/local"
)

// onCluster makes a cluster of its own for one part. The guard ends it whatever happens here.
func onCluster(ctx context.Context, cfg config, setup local.Config, keep keeper, do func(*bench) error) (err error) {
	// The reconciler leaves its context here, and not in the home of whoever runs this; the
	// peer takes etcd and nats-server from PATH. Ray's workers run at nice 15 by default, and
	// beside other work on the machine that would be most of what is measured.
	err = errors.Join(os.Setenv("XDG_CONFIG_HOME", filepath.Join(setup.RunDir, "config")), os.Setenv("RAY_worker_niceness", "0"),
		os.Setenv("PATH", setup.Bin+string(os.PathListSeparator)+os.Getenv("PATH")))
	if err != nil {
		return err
	}
	stack, err := local.New(setup)
	if err != nil {
		return err
	}
	guard, err := local.StartGuard(setup)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench: logs are kept in", setup.RunDir)
		}
		if err = errors.Join(err, guard.Close()); err == nil {
			err = os.RemoveAll(setup.RunDir)
		}
	}()
	b, err := newBench(ctx, cfg, setup, stack)
	if err != nil {
		return err
	}
	defer b.close()
	b.keep = keep
	return do(b)
}

func stackConfig(cfg config) (local.Config, error) {
	bin, err := filepath.Abs(cfg.bin)
	if err != nil {
		return local.Config{}, err
	}
	venv, err := filepath.Abs(cfg.venv)
	if err != nil {
		return local.Config{}, err
	}
	setup, err := local.Throwaway("peer")
	setup.Bin, setup.Venv, setup.Nodes, setup.GPUs, setup.CPUs = bin, venv, 1, 8, 16
	return setup, err
}

func newBench(ctx context.Context, cfg config, setup local.Config, stack *local.Stack) (b *bench, err error) {
	b = &bench{cfg: cfg, setup: setup, stack: stack, client: http.Client{Timeout: 30 * time.Second}}
	if b.log, err = os.Create(filepath.Join(setup.RunDir, "drivers.log")); err != nil {
		return nil, err
	}
	if b.out, err = describe(); err != nil {
		return nil, err
	}
	if err := b.out.describePython(setup.Venv); err != nil {
		return nil, err
	}
	if err := stack.StartRay(ctx); err != nil {
		return nil, err
	}
	begun := time.Now()
	if _, err := stack.StartReconciler(); err != nil {
		return nil, err
	}
	if err := stack.WaitReady(ctx, patience); err != nil {
		return nil, err
	}
	b.out.add("reconciler", "ours", time.Since(begun))
	b.ours, err = newOurs(ctx, setup, stack)
	return b, err
}

// startContenders starts those that ours is measured beside.
func (b *bench) startContenders() error {
	d, err := startDriver(b.setup, b.log, "floor.py", rayAddress(b.setup), b.setup.TempDir)
	if err != nil {
		return fmt.Errorf("floor.py: %w", err)
	}
	b.floor = &floor{driver: d, setup: b.setup}
	if err := b.floor.freshPorts(); err != nil {
		return err
	}
	shim, err := filepath.Abs(filepath.Join("integration", "peer", "shim"))
	if err != nil {
		return err
	}
	if d, err = startDriver(b.setup, b.log, "curator.py"); err != nil {
		return fmt.Errorf("curator.py: %w", err)
	}
	b.peer = &curator{driver: d, shim: shim}
	return nil
}

func (b *bench) close() {
	if b.floor != nil {
		b.floor.Close()
	}
	if b.peer != nil {
		b.peer.Close()
	}
	b.ours.nc.Close()
	_ = b.log.Close() // to read, not to judge by
}

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
}

// handOver gives away what was measured, and begins anew.
func (b *bench) handOver() error {
	b.out.load()
	done := b.out
	b.out = done.empty()
	return b.keep(done)
}
