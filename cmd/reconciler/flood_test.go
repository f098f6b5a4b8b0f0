package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dynctl/state"
	"dynctl/state/kv"
	"dynctl/state/kv/natsd"
)

// Bounds of the reconciler while somebody floods the store. A machine that does
// nothing else needs less than 2 s to accept a spec; since others may not, the
// processor time counts that the reconciler takes meanwhile: up to four times as much
// where twenty programs share two cores. Memory is 400 MB (docs/limits.md), and a quarter
// more for a disk on which a flood comes faster.
const (
	floodMemory = 500 << 20
	floodAccept = 20 * time.Second
)

// flood is what somebody writes: how often, and what at the i-th time. With each 0 the
// next is written as soon as the last was acknowledged.
type flood struct {
	name    string
	writes  int
	each    time.Duration
	message func(i int) (subject string, value []byte)
}

var floods = []flood{
	{"garbage everywhere", 10_000, time.Millisecond, func(i int) (string, []byte) {
		bucket := []string{"specs.model.default.g%d", "specs.what.ever.%d", "status.model.default.g%d", "observed.unit.default.g%d", "observed.node.%d", "specs.model.default.same%.0d"}[i%6]
		return fmt.Sprintf("$KV.dynctl_"+bucket, i), bytes.Repeat([]byte("{]garbage: "), 1+i%100)
	}},
	{"new servers", 20_000, time.Millisecond, func(i int) (string, []byte) {
		return fmt.Sprintf("$KV.dynctl_specs.server.s%d", i), fmt.Appendf(nil, "{apiVersion: dynctl/v1alpha1, kind: Server, metadata: {name: s%d}}", i)
	}},
	{"the largest values", 60, 0, func(i int) (string, []byte) {
		return fmt.Sprintf("$KV.dynctl_specs.model.default.l%d", i), bytes.Repeat([]byte("[garbage"), (8<<20-1000)/8)
	}},
	{"large values", 998, 0, func(i int) (string, []byte) {
		return fmt.Sprintf("$KV.dynctl_specs.model.default.l%d", i), large[i%len(large)](i)
	}},
}

// large are values of half a megabyte: no document, one with a long string, and one with
// very many short ones.
var large = []func(i int) []byte{
	func(int) []byte { return bytes.Repeat([]byte("[garbage"), 500_000/8) },
	func(i int) []byte {
		return fmt.Appendf(nil, `{"apiVersion": "dynctl/v1alpha1", "kind": "Model", "metadata": {"name": "l%d"}, "spec": {"model": "a/l%[1]d", "env": {"LONG": %q}}}`,
			i, strings.Repeat("x", 500_000))
	},
	func(i int) []byte {
		var labels strings.Builder
		for n := range 30_000 {
			fmt.Fprintf(&labels, `, "k%d": "v%d"`, n, n%10)
		}
		return fmt.Appendf(nil, `{"apiVersion": "dynctl/v1alpha1", "kind": "Model", "metadata": {"name": "l%d", "labels": {"a": "b"%s}}, "spec": {"model": "a/l%[1]d"}}`,
			i, labels.String())
	},
}

// TestFloodsCostLittle: while somebody writes 1,000 values a second, or large ones as fast
// as they are acknowledged, and after, also after another start, the reconciler stays within
// its memory and accepts a valid spec at once.
func TestFloodsCostLittle(t *testing.T) {
	binary := built(t)
	for _, f := range floods {
		t.Run(f.name, func(t *testing.T) {
			dir := t.TempDir()
			p := runBinary(t, binary, dir)
			c := p.client()
			defer c.Close()
			slowest := accepted(t, p, c, "before")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- f.run(ctx, p) }()
			for i, flooding := 0, true; flooding; i++ {
				slowest = slowest.max(accepted(t, p, c, fmt.Sprint("during", i)))
				select {
				case err := <-done:
					if err != nil {
						t.Fatal(err)
					}
					flooding = false
				case <-time.After(time.Second):
				}
			}
			slowest = slowest.max(accepted(t, p, c, "after"))
			peak := p.peakMemory()
			p.kill()
			next := runBinary(t, binary, dir)
			d := next.client()
			defer d.Close()
			again := accepted(t, next, d, "again")
			slowest, peak = slowest.max(again), max(peak, next.peakMemory())
			t.Logf("a valid spec was accepted within %s, for which the reconciler worked for %s at most, after another start within %s; %d MB at the peak",
				slowest.wall.Round(time.Millisecond), slowest.cpu, again.wall.Round(time.Millisecond), peak>>20)
			if slowest.cpu > floodAccept || peak > floodMemory {
				t.Errorf("want %s and %d MB at most", floodAccept, floodMemory>>20)
			}
		})
	}
}

func (f flood) run(ctx context.Context, p *program) error {
	nc, err := nats.Connect(p.url, p.login(natsd.UserReconciler)) // who may write everywhere
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	began := time.Now()
	for i := range f.writes {
		subject, value := f.message(i)
		if f.each == 0 {
			one, cancel := context.WithTimeout(ctx, time.Minute)
			_, err := js.Publish(one, subject, value)
			cancel()
			if err != nil {
				return err
			}
			continue
		}
		if err := nc.Publish(subject, value); err != nil {
			return err
		}
		if wait := time.Until(began.Add(time.Duration(i) * f.each)); wait > 0 {
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return nil
			}
		}
	}
	return nc.FlushTimeout(30 * time.Second)
}

// wait is how long something took, and how long the reconciler worked meanwhile.
type wait struct{ wall, cpu time.Duration }

func (w wait) max(other wait) wait { return wait{max(w.wall, other.wall), max(w.cpu, other.cpu)} }

// accepted writes a valid spec and returns how long it took until it was accepted.
func accepted(t *testing.T, p *program, c *kv.Client, name string) wait {
	t.Helper()
	key := state.ModelKey("default", name)
	began, worked := time.Now(), p.cpu()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // a busy store refuses, and the client tries again
	defer cancel()
	revision, err := c.PutSpec(ctx, key, fmt.Appendf(nil, "{apiVersion: dynctl/v1alpha1, kind: Model, metadata: {name: %s}, spec: {model: a/%[1]s}}", name), kv.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for time.Since(began) < 2*time.Minute {
		if s, err := c.GetStatus(t.Context(), key); err == nil && s.AcceptedRevision == revision {
			return wait{time.Since(began), p.cpu() - worked}
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("%s is not accepted within two minutes", name)
	return wait{}
}

// cpu is the processor time that it took so far.
func (p *program) cpu() time.Duration {
	p.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), ") ") // the name before it may hold anything
	fields := strings.Fields(rest)
	var ticks int64
	for _, field := range fields[11:13] { // utime and stime, in hundredths of a second
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			p.t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// peakMemory is the largest resident size so far, in bytes.
func (p *program) peakMemory() int64 {
	p.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				p.t.Fatal(err)
			}
			return kb << 10
		}
	}
	p.t.Fatal("no VmHWM")
	return 0
}
