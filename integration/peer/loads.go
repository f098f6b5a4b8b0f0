package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// loadFor is how long so many clients ask, each again as soon as it was answered.
const loadFor = 4 * time.Second

// clients are how many ask at once.
var clients = []int{1, 4, 16, 64, 256}

// What is measured of a load, by plane and number of clients (see loadOf).
const (
	loadRate   = "load-per-s"
	loadP50    = "load-p50"
	loadP99    = "load-p99"
	loadFailed = "load-failed-count"
)

func loadOf(what, plane string, clients int) figure {
	return figure{partLoad, what, plane + " " + strconv.Itoa(clients)}
}

// loads measures how many requests two workers answer, and how fast, by each request plane.
func loads(ctx context.Context, cfg config, keep keeper) error {
	setup, err := stackConfig(cfg)
	if err != nil {
		return err
	}
	return onCluster(ctx, cfg, setup, keep, func(b *bench) error { return b.loads(ctx) })
}

// loads goes through the planes in each run anew, so that both meet the same machine.
func (b *bench) loads(ctx context.Context) error {
	for run := range b.cfg.runs {
		for i := range planes {
			if err := b.loadsBy(ctx, planes[(run+i)%len(planes)]); err != nil {
				return err
			}
		}
		if err := b.handOver(); err != nil {
			return err
		}
		b.say("load %d of %d is measured", run+1, b.cfg.runs)
	}
	return nil
}

func (b *bench) loadsBy(ctx context.Context, plane string) error {
	port, m, err := b.serveTwo(ctx, plane)
	if err != nil {
		return err
	}
	time.Sleep(settle)
	for _, n := range clients {
		l := measureLoad(ctx, port, m.Name, n)
		for what, value := range map[string]float64{
			loadRate: l.rate, loadP50: nearest(l.took, 0.5), loadP99: nearest(l.took, 0.99), loadFailed: float64(l.failed),
		} {
			b.out.note(what, loadOf(what, plane, n).who, value)
		}
		b.say("%d clients by %s: %.0f requests a second, %d failed", n, plane, l.rate, l.failed)
	}
	return b.ours.stop(ctx)
}

// load is what so many clients saw.
type load struct {
	rate   float64   // answers a second
	took   []float64 // of those that were answered, in ms, sorted
	failed int
}

func measureLoad(ctx context.Context, port int, model string, clients int) (l load) {
	a := askerOf(port, model)
	defer a.client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, loadFor)
	defer cancel()
	begun := time.Now()
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for ctx.Err() == nil {
				a.one()
			}
		})
	}
	all.Wait()
	for _, e := range a.all {
		if e.err != nil {
			l.failed++
			continue
		}
		l.took = append(l.took, milliseconds(e.took))
	}
	l.rate = float64(len(l.took)) / time.Since(begun).Seconds()
	slices.Sort(l.took)
	return l
}

// nearest is a percentile of sorted figures by nearest rank; 0 of none.
func nearest(sorted []float64, p float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(p*float64(len(sorted))), len(sorted)-1)]
}

// byPlane is the table of loads.
func (r record) byPlane() string {
	p, has := r.Parts[partLoad]
	if !has {
		return ""
	}
	var out strings.Builder
	nats, tcp := planes[0], planes[1]
	out.WriteString("\n" + p.where() + " Medians, and the least to the most.\n\n" +
		"| clients | requests a second by nats | by tcp | tcp to nats | p50 by nats | by tcp | p99 by nats | by tcp | failed |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, n := range clients {
		of := func(what, plane string) []float64 { return r.of(loadOf(what, plane, n)) }
		failed := most(of(loadFailed, nats)) + most(of(loadFailed, tcp))
		fmt.Fprintf(&out, "| %d | %s | %s | %s | %s | %s | %s | %s | %.0f |\n", n, counted.spread(of(loadRate, nats)), counted.spread(of(loadRate, tcp)),
			ratio(of(loadRate, tcp), of(loadRate, nats)), inMs.spread(of(loadP50, nats)), inMs.spread(of(loadP50, tcp)),
			inMs.spread(of(loadP99, nats)), inMs.spread(of(loadP99, tcp)), failed)
	}
	return out.String()
}
