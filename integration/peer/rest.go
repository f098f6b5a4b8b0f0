package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"dynctl/deploy/local"
)

const (
	// restFor is how long the agent is looked at, each time.
	restFor = 20 * time.Second
	// calm is how long it is left alone before that.
	calm = 10 * time.Second
	// perWorker is how long a worker may take to come when many do.
	perWorker = 5 * time.Second
	mebibyte  = 1 << 20
)

// agentCPU is a figure by the number of actors: what the agent's process takes of one core.
const agentCPU = "agent-cpu-%"

// atRest measures what the agent costs while nothing happens to its actors.
func atRest(ctx context.Context, cfg config, keep keeper) error {
	setup, err := stackConfig(cfg)
	if err != nil {
		return err
	}
	// The workers reserve a logical GPU each and no CPU: Ray starts processes ahead for the CPUs
	// that a node has.
	setup.GPUs = cfg.actors
	policy := filepath.Join(setup.RunDir, "policy.yaml")
	setup.ReconcilerArgs = []string{"--policy", policy}
	if err := os.WriteFile(policy, []byte("apiVersion: dynctl/v1alpha1\nkind: Policy\nenv: {allow: [PYTHONPATH]}\n"), 0o644); err != nil {
		return err
	}
	return onCluster(ctx, cfg, setup, keep, func(b *bench) error { return b.atRest(ctx) })
}

func (b *bench) atRest(ctx context.Context) error {
	ports, err := local.FreePorts(1)
	if err != nil {
		return err
	}
	still, err := filepath.Abs(filepath.Join("integration", "peer", "still"))
	if err != nil {
		return err
	}
	if err := b.ours.start(ctx, ports[0], nil); err != nil {
		return err
	}
	m := aggregated("m")
	b.ours.models = append(b.ours.models, m)
	for _, actors := range []int{b.cfg.actors / 4, b.cfg.actors} {
		lines := fmt.Sprintf("  replicas: %d\n  env: {PYTHONPATH: %q}\n", actors, still)
		if err := b.ours.putWith(ctx, m, "{gpus: 1, cpus: 0}", lines); err != nil {
			return err
		}
		err := poll(ctx, patience+time.Duration(actors)*perWorker, fmt.Sprintf("%d workers run", actors), func() (bool, error) {
			time.Sleep(time.Second) // to ask is work for the agent's machine
			units, err := b.ours.workers(ctx)
			if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
				return false, nil // while so many start nobody answers in time
			}
			return len(units) == actors, err
		})
		if err != nil {
			return err
		}
		b.say("%d workers run", actors)
		if err := b.lookAtAgent(ctx, actors); err != nil {
			return err
		}
	}
	return nil // they end with their cluster
}

// lookAtAgent measures the agent's process so often beside so many workers.
func (b *bench) lookAtAgent(ctx context.Context, actors int) error {
	a, err := b.ours.agent(ctx)
	if err != nil {
		return err
	}
	for range b.cfg.runs {
		time.Sleep(calm)
		used, err := cpuOf(a.PID)
		if err != nil {
			return err
		}
		time.Sleep(restFor)
		now, err := cpuOf(a.PID)
		if err != nil {
			return err
		}
		memory, err := memoryOf(a.PID)
		if err != nil {
			return err
		}
		share := (now - used).Seconds() / restFor.Seconds() * 100
		b.out.note(agentCPU, strconv.Itoa(actors), share)
		b.out.note("agent-MB", strconv.Itoa(actors), float64(memory)/mebibyte)
		b.say("the agent beside %d workers: %.2f %% of a core, %d MB", actors, share, memory/mebibyte)
		if err := b.handOver(); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// cpuOf is what a process has used so far, all its threads: fields 14 and 15 of /proc/PID/stat.
func cpuOf(pid int) (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields)+2)
	}
	user, err := strconv.ParseInt(string(fields[11]), 10, 64)
	system, also := strconv.ParseInt(string(fields[12]), 10, 64)
	return time.Duration(user+system) * time.Second / ticks, errors.Join(err, also)
}

// memoryOf is what a process has in memory, in bytes.
func memoryOf(pid int) (int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	var size, resident int64
	_, err = fmt.Sscan(string(data), &size, &resident)
	return resident * int64(os.Getpagesize()), err
}
