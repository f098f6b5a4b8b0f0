package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"dynctl/deploy/local"
)

type config struct {
	runs      int
	part      string
	bin, venv string
	record    string
	docs      string
	draw, add bool
}

// Parts of the measurement.
const (
	partRay   = "ray"   // starts beside floor and peer, rolls, the end of the agent, on a real Ray
	partFleet = "fleet" // the reconciler alone, with fleets of several sizes on a simulated Ray
)

func main() {
	var cfg config
	flag.IntVar(&cfg.runs, "runs", 5, "how often each thing is measured")
	flag.StringVar(&cfg.part, "part", "", partRay+" or "+partFleet+"; empty: one after the other")
	flag.StringVar(&cfg.bin, "bin", "bin", "directory of reconciler, dynctl, local, etcd and nats-server")
	flag.StringVar(&cfg.venv, "venv", ".venv-peer", "virtual environment with Ray, Dynamo and the peer")
	flag.StringVar(&cfg.docs, "docs", "docs", "directory of benchmarks.md, whose table is written, and of img/, where pictures go")
	flag.StringVar(&cfg.record, "record", "docs/benchmarks.json", "what was measured")
	flag.BoolVar(&cfg.add, "add", false, "keep what is recorded of a part, and add the runs to it")
	flag.BoolVar(&cfg.draw, "draw", false, "measure nothing; write the table and draw the pictures of the record again")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, cfg)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench-peer: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, cfg config) error {
	if cfg.runs < 1 {
		return fmt.Errorf("-runs %d: want at least one", cfg.runs)
	}
	r, err := readRecord(cfg.record)
	if err != nil {
		return err
	}
	for _, part := range []string{partRay, partFleet} {
		if cfg.draw || cfg.part != "" && cfg.part != part {
			continue
		}
		if !cfg.add {
			delete(r.Parts, part)
		}
		// What was measured is kept as soon as it is: an interrupt loses no more than one start of each.
		err := measure(ctx, cfg, part, func(m measured) error {
			all, err := r.Parts[part].with(m)
			if err != nil {
				return err
			}
			r.Parts[part] = all
			return r.write(cfg.record)
		})
		if err != nil {
			return err
		}
	}
	fmt.Print(r.table())
	return errors.Join(r.drawAll(filepath.Join(cfg.docs, "img")), r.intoPage(filepath.Join(cfg.docs, "benchmarks.md")))
}

// measure makes a cluster for one part, and hands each run over. The guard ends it
// whatever happens here.
func measure(ctx context.Context, cfg config, part string, keep func(measured) error) (err error) {
	if part == partFleet {
		return fleets(ctx, cfg, keep)
	}
	setup, err := stackConfig(cfg)
	if err != nil {
		return err
	}
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
			fmt.Fprintln(os.Stderr, "bench-peer: logs are kept in", setup.RunDir)
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
	return b.all(ctx)
}

func stackConfig(cfg config) (local.Config, error) {
	bin, err := filepath.Abs(cfg.bin)
	if err != nil {
		return local.Config{}, err
	}
	venv, err := filepath.Abs(cmp.Or(cfg.venv, ".venv-peer"))
	if err != nil {
		return local.Config{}, err
	}
	setup, err := local.Throwaway("peer")
	setup.Bin, setup.Venv, setup.Nodes, setup.GPUs, setup.CPUs = bin, venv, 1, 8, 16
	return setup, err
}
