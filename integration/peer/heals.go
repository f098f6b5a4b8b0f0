package main

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"time"

	"dynctl/deploy/local"
)

// heals measures a roll, the end of the agent, and what an actor takes in Ray.
func (b *bench) heals(ctx context.Context, run int) error {
	ports, err := local.FreePorts(1)
	if err != nil {
		return err
	}
	m := aggregated("m")
	if err := b.ours.serve(ctx, ports[0], m, "  replicas: 2\n"); err != nil {
		return err
	}
	time.Sleep(settle)
	if err := b.roll(ctx, ports[0], m, run); err != nil {
		return err
	}
	time.Sleep(settle)
	if err := b.killAgent(ctx, "agent"); err != nil {
		return err
	}
	if err := b.ours.stop(ctx); err != nil {
		return err
	}
	for _, warm := range []bool{false, true} {
		time.Sleep(settle)
		if err := b.oneActor(warm); err != nil {
			return err
		}
	}
	return nil
}

// roll declares a new generation of two replicas under load, and wants no request lost.
func (b *bench) roll(ctx context.Context, port int, m model, n int) error {
	asked, cancel := context.WithCancel(ctx)
	defer cancel()
	var load sync.WaitGroup
	sent, failed := 0, 0
	load.Go(func() {
		for asked.Err() == nil {
			if sent++; !b.firstToken(ctx, port, m.Name) {
				failed++
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	begun := time.Now()
	if err := b.ours.put(ctx, m, "  replicas: 2\n", fmt.Sprintf("  engineArgs: {max_num_seqs: %d}\n", 100+n)); err != nil {
		return err
	}
	over, err := b.ours.event(ctx, "rollout-completed", begun)
	cancel()
	load.Wait()
	if err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%w during a roll: %d of %d", errFailed, failed, sent)
	}
	b.out.add("roll", "ours", over.Sub(begun))
	if err := b.noteRoll(ctx, begun, over); err != nil {
		return err
	}
	b.say("roll: %d ms, %d requests answered", over.Sub(begun).Milliseconds(), sent)
	return nil
}

// noteRoll keeps how a roll went: each event of it, and when each new process began.
func (b *bench) noteRoll(ctx context.Context, begun, over time.Time) error {
	t, err := lookBack(b.stack, begun)
	if err != nil {
		return err
	}
	t.What, t.Who, t.Ms = "roll", b.ours.name(), milliseconds(over.Sub(begun))
	if t.Events, err = b.ours.happened(ctx, begun); err != nil {
		return err
	}
	b.out.Timelines = append(b.out.Timelines, t)
	return nil
}

// killAgent kills the agent and waits for its successor at work.
func (b *bench) killAgent(ctx context.Context, what string) error {
	was, err := b.ours.agent(ctx)
	if err != nil {
		return err
	}
	begun := time.Now()
	if err := syscall.Kill(was.PID, syscall.SIGKILL); err != nil {
		return fmt.Errorf("the agent, pid %d: %w", was.PID, err)
	}
	err = poll(ctx, patience, "a new agent is synced", func() (bool, error) {
		a, err := b.ours.agent(ctx)
		return err == nil && a.Incarnation > was.Incarnation && a.Synced, err
	})
	if err != nil {
		return err
	}
	took := time.Since(begun)
	b.out.add(what, "ours", took)
	b.say("%s: %d ms", what, took.Milliseconds())
	return nil
}

// oneActor has the floor make one actor, on a new worker process or an idle one.
func (b *bench) oneActor(warm bool) error {
	what := map[bool]string{false: "actor-new", true: "actor-idle"}[warm]
	a, err := b.floor.ask(map[string]any{"do": "actor", "warm": warm})
	if err != nil {
		return err
	}
	took := time.Duration(a.Seconds * float64(time.Second))
	b.out.add(what, "floor", took)
	b.say("%s: %d ms", what, took.Milliseconds())
	return nil
}
