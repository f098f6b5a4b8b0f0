package app

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dynctl/actors"
	"dynctl/events"
	"dynctl/state/kv"
	"dynctl/state/kv/natsd"
)

const (
	// diskLow is how little may be free before that is said, in bytes: some minutes of
	// what a busy fleet writes.
	diskLow = 256 << 20
	// nearlyFull is the part of its bound from which a bucket is told, in percent.
	nearlyFull = 90
	// sizesEvery is how often the buckets are asked for their sizes, sizesPatience how
	// long they have to answer.
	sizesEvery    = 5 * time.Second
	sizesPatience = 2 * time.Second
)

// checkDisk looks at the disk of the embedded NATS (an external one has its own) and
// at the bounds of the buckets.
func checkDisk(a *App, _ *snapshot) check {
	var parts []string
	found := check{State: checkOK}
	fault := func(format string, args ...any) {
		found.State, parts = checkDegraded, append(parts, fmt.Sprintf(format, args...))
	}
	if a.natsd != nil {
		d, err := a.natsd.Disk()
		switch {
		case d.Full:
			found.Reason, found.Soon = actors.CondStoreFull, !d.Failed
			fault("%s; %d MiB are free", fullText(d), d.Free>>20)
		case err != nil:
			fault("%v", err)
		case d.Free < diskLow:
			fault("%d MiB are free at %s, and without any specs are refused: free some space", d.Free>>20, d.Dir)
		default:
			parts = append(parts, fmt.Sprintf("%d MiB are free at %s", d.Free>>20, d.Dir))
		}
	}
	var held []string
	for _, b := range a.bucketSizes() {
		held = append(held, b.Name+" "+inMiB(b.Bytes))
		if flag := boundFlags[b.Name]; flag != "" && b.Max > 0 && b.Bytes >= b.Max/100*nearlyFull {
			fault("%s holds %s of the %s that it may, and takes nothing new at that bound: delete objects, or raise %s", b.Name, inMiB(b.Bytes), inMiB(b.Max), flag)
		}
	}
	if len(held) > 0 {
		parts = append(parts, "held: "+strings.Join(held, ", "))
	}
	found.Text = strings.Join(parts, "; ")
	return found
}

// boundFlags are the flags that bound a bucket which refuses what is new at its bound.
var boundFlags = map[string]string{kv.BucketSpecs: "--max-spec-bytes", kv.BucketStatus: "--max-status-bytes"}

func (a *App) bucketSizes() []kv.BucketSize {
	if s := a.sizes.Load(); s != nil {
		return *s
	}
	return nil
}

func inMiB(bytes uint64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }

// fullText says what keeps the store from being written to, or soon will, without what
// changes meanwhile.
func fullText(d natsd.Disk) string {
	const refused = "specs, statuses and events are refused until then, nothing is stopped meanwhile, and it heals by itself"
	switch {
	case !d.Failed:
		return fmt.Sprintf("disk of the store is nearly full; free space at %s: without any, specs, statuses and events will be refused; nothing is stopped then", d.Dir)
	case d.Low:
		return fmt.Sprintf("disk of the store is full; free space at %s: %s", d.Dir, refused)
	}
	why := ""
	if d.Refusal != nil {
		why = " (" + strings.ReplaceAll(d.Refusal.Error(), "\n", "; ") + ")"
	}
	return fmt.Sprintf("store takes no writes though its disk is not full: nothing can be written to %s%s; see to its mount, quota, inodes and device: %s", d.Dir, why, refused)
}

// storeFull is why the embedded store takes no writes, or soon none; empty: it does.
func (a *App) storeFull() string {
	if a.natsd == nil {
		return ""
	}
	if d, _ := a.natsd.Disk(); d.Full { // checkDisk tells of an error
		return "the " + fullText(d)
	}
	return ""
}

// diskFailed reports whether the embedded store refuses all writes.
func (a *App) diskFailed() bool { return a.natsd != nil && a.natsd.Failed() }

// keepSizes asks for the sizes of the buckets until ctx ends.
func (a *App) keepSizes(ctx context.Context) error {
	js, err := jetstream.New(a.nc)
	if err != nil {
		return err
	}
	tick := time.NewTicker(sizesEvery)
	defer tick.Stop()
	for {
		asking, cancel := context.WithTimeout(ctx, sizesPatience)
		sizes, err := kv.Sizes(asking, js, events.Stream)
		cancel()
		if err == nil { // else those before stand
			a.sizes.Store(&sizes)
			a.raiseReplicas(ctx, js, sizes)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// answerChecks answers dynctl with what /readyz?verbose shows, also while the store
// takes no writes.
func (a *App) answerChecks() error {
	_, err := a.nc.Subscribe(kv.SubjectChecks, func(m *nats.Msg) {
		checks := a.checks()
		if reply, err := json.Marshal(kv.Checks{State: worst(checks), Checks: checks}); err == nil {
			_ = m.Respond(reply) // whoever asked asks again
		}
	})
	return err
}
