package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

type config struct {
	runs      int
	actors    int
	parts     string
	bin, venv string
	record    string
	docs      string
	draw, add bool
}

// Parts of the measurement.
const (
	partRay   = "ray"   // starts beside floor and peer, rolls, the end of the agent, on a real Ray
	partKill  = "kill"  // requests around a worker's end, and an agent's end beside a standby, on a real Ray
	partLoad  = "load"  // requests of many clients, by each request plane
	partAgent = "agent" // what the agent costs at rest beside many real actors
	partFleet = "fleet" // the reconciler alone, with fleets of several sizes on a simulated Ray
)

// keeper takes what one run has given.
type keeper func(measured) error

var parts = []struct {
	name    string
	measure func(context.Context, config, keeper) error
}{{partRay, starts}, {partKill, kills}, {partLoad, loads}, {partAgent, atRest}, {partFleet, fleets}}

// actorsMeasured fit a machine with 8 GB: each takes some 100 MB.
const actorsMeasured = 40

func main() {
	var cfg config
	flag.IntVar(&cfg.runs, "runs", 5, "how often each thing is measured")
	flag.IntVar(&cfg.actors, "actors", actorsMeasured, "how many workers stand beside the agent at rest, at 100 MB each; a fourth of them first")
	flag.StringVar(&cfg.parts, "part", strings.Join([]string{partRay, partKill, partLoad, partAgent, partFleet}, ","), "what is measured, one after the other")
	flag.StringVar(&cfg.bin, "bin", "bin", "directory of reconciler, dynctl, local, etcd and nats-server")
	flag.StringVar(&cfg.venv, "venv", ".venv-peer", "virtual environment with Ray, Dynamo and the peer")
	flag.StringVar(&cfg.docs, "docs", "docs", "directory of benchmarks.json, of benchmarks.md with the tables, and of img/ with the pictures")
	flag.StringVar(&cfg.record, "record", "", "where what was measured is kept; empty: benchmarks.json in -docs. With another one the pages stay as they are")
	flag.BoolVar(&cfg.add, "add", false, "keep what is recorded of a part, and add the runs to it")
	flag.BoolVar(&cfg.draw, "draw", false, "measure nothing; write the tables and draw the pictures of the record again")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, cfg)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, cfg config) error {
	if cfg.runs < 1 || cfg.actors < 4 {
		return fmt.Errorf("-runs %d -actors %d: want at least one run, and four workers", cfg.runs, cfg.actors)
	}
	shown := filepath.Join(cfg.docs, "benchmarks.json")
	if cfg.record == "" {
		cfg.record = shown
	}
	r, err := readRecord(cfg.record, shown)
	if err != nil {
		return err
	}
	if !cfg.draw {
		err = measureParts(ctx, cfg, r)
	}
	fmt.Print(r.reach())
	if filepath.Clean(cfg.record) != filepath.Clean(shown) {
		fmt.Fprintf(os.Stderr, "bench: recorded in %s; %s stays as it is\n", cfg.record, cfg.docs)
		return err
	}
	return errors.Join(err, r.drawAll(filepath.Join(cfg.docs, "img")), r.intoPage(filepath.Join(cfg.docs, "benchmarks.md")))
}

// measureParts measures what is asked for. A part that fails leaves what it has measured,
// and the next ones are measured all the same.
func measureParts(ctx context.Context, cfg config, r record) error {
	wanted := strings.Split(cfg.parts, ",")
	var errs []error
	for _, p := range parts {
		i := slices.Index(wanted, p.name)
		if i < 0 || ctx.Err() != nil {
			continue
		}
		wanted = slices.Delete(wanted, i, i+1)
		// What was measured is kept as soon as it is: an interrupt loses no more than one
		// thing, and what was recorded before is there until the first is measured.
		fresh := !cfg.add
		err := p.measure(ctx, cfg, func(m measured) error {
			if fresh {
				delete(r.Parts, p.name)
				fresh = false
			}
			all, err := r.Parts[p.name].with(m)
			if err != nil {
				return err
			}
			r.Parts[p.name] = all
			return r.write(cfg.record)
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", p.name, err))
		}
	}
	if len(wanted) > 0 && ctx.Err() == nil {
		errs = append(errs, fmt.Errorf("-part %s: no such part", strings.Join(wanted, ",")))
	}
	return errors.Join(errs...)
}
