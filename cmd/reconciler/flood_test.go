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

	"dynctl/state"
	"dynctl/state/kv"
)

// Bounds of the reconciler while somebody floods the store. A machine that does
// nothing else needs less than 2 s.
const (
	floodMemory = 400 << 20
	floodAccept = 10 * time.Second
)

// flood is what somebody writes: how often, and what at the i-th time.
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
}

// TestFloodsCostLittle: while somebody writes 1,000 values a second of any kind,
// and after, the reconciler stays within its memory and accepts a valid spec at once.
func TestFloodsCostLittle(t *testing.T) {
	binary := built(t)
	for _, f := range floods {
		t.Run(f.name, func(t *testing.T) {
			p := runBinary(t, binary, t.TempDir())
			c := p.client()
			defer c.Close()
			slowest := accepted(t, c, "before")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- f.run(ctx, p.url) }()
			for i, flooding := 0, true; flooding; i++ {
				slowest = max(slowest, accepted(t, c, fmt.Sprint("during", i)))
				select {
				case err := <-done:
					if err != nil {
						t.Fatal(err)
					}
					flooding = false
				case <-time.After(time.Second):
				}
			}
			slowest = max(slowest, accepted(t, c, "after"))
			peak := p.peakMemory()
			t.Logf("a valid spec was accepted within %s; %d MB at the peak", slowest.Round(time.Millisecond), peak>>20)
			if slowest > floodAccept || peak > floodMemory {
				t.Errorf("want %s and %d MB at most", floodAccept, floodMemory>>20)
			}
		})
	}
}

func (f flood) run(ctx context.Context, url string) error {
	nc, err := nats.Connect(url)
	if err != nil {
		return err
	}
	defer nc.Close()
	began := time.Now()
	for i := range f.writes {
		subject, value := f.message(i)
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

// accepted writes a valid spec and returns how long it took until it was accepted.
func accepted(t *testing.T, c *kv.Client, name string) time.Duration {
	t.Helper()
	key := state.ModelKey("default", name)
	began := time.Now()
	revision, err := c.PutSpec(t.Context(), key, fmt.Appendf(nil, "{apiVersion: dynctl/v1alpha1, kind: Model, metadata: {name: %s}, spec: {model: a/%[1]s}}", name), kv.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for time.Since(began) < time.Minute {
		if s, err := c.GetStatus(t.Context(), key); err == nil && s.AcceptedRevision == revision {
			return time.Since(began)
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("%s is not accepted within a minute", name)
	return 0
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
