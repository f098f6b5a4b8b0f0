package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"syscall"
	"time"

	"dynctl/state"
)

// standbySteps are the faults of a run in which an agent stands by.
func (w *world) standbySteps() []step {
	return []step{
		{"standby killed", 2, w.killStandby},
		{"standby stopped", 2, w.stopStandby},
		{"agent and standby killed", 1, w.killBoth},
		{"agent and standby stopped", 1, w.stopBoth},
	}
}

// standby is the agent that stands by, as the reconciler that leads has it.
func (w *world) standby(ctx context.Context) (state.StandbyAgent, error) {
	out, err := w.dynctl(ctx, "", "status", "-o", "json")
	if err != nil {
		return state.StandbyAgent{}, err
	}
	var said struct{ StandbyAgent state.StandbyAgent }
	if err := json.Unmarshal([]byte(out), &said); err != nil {
		return state.StandbyAgent{}, err
	}
	if b := said.StandbyAgent; b.State != state.StandbyReady || b.PID == 0 {
		return b, errNotNow
	}
	return said.StandbyAgent, nil
}

// pause stops a process until it is woken; it may have been ended then.
func pause(pid int) (wake func(), err error) {
	if err := kill(pid, syscall.SIGSTOP); err != nil {
		return nil, err
	}
	return func() { _ = kill(pid, syscall.SIGCONT) }, nil
}

// killStandby ends what nothing rests on.
func (w *world) killStandby(ctx context.Context) (string, error) {
	b, err := w.standby(ctx)
	if err != nil {
		return "", err
	}
	return b.Job, kill(b.PID, syscall.SIGKILL)
}

// stopStandby pauses the standby for less or longer than it may be silent, and wakes it.
func (w *world) stopStandby(ctx context.Context) (string, error) {
	b, err := w.standby(ctx)
	if err != nil {
		return "", err
	}
	wake, err := pause(b.PID)
	if err != nil {
		return "", err
	}
	defer wake()
	lasts := time.Second + time.Duration(w.rnd.Int64N(int64(longestCut)))
	time.Sleep(lasts / 2)
	what, err := w.meanwhile(ctx)
	time.Sleep(lasts / 2)
	return fmt.Sprintf("%s for %.1f s%s", b.Job, lasts.Seconds(), what), err
}

// killBoth ends both agents within a moment, in either order.
func (w *world) killBoth(ctx context.Context) (string, error) {
	b, err := w.standby(ctx)
	if err != nil {
		return "", err
	}
	first := w.rnd.IntN(2) == 0
	apart := time.Duration(w.rnd.IntN(300)) * time.Millisecond
	if first {
		err = kill(b.PID, syscall.SIGKILL)
		time.Sleep(apart)
	}
	what, failed := w.killAgent(ctx)
	if !first {
		time.Sleep(apart)
		err = kill(b.PID, syscall.SIGKILL)
	}
	return fmt.Sprintf("%s, and %s, which went first: %v, %s apart", what, b.Job, first, apart), errors.Join(err, failed)
}

// stopBoth pauses both agents until a successor works, and wakes them.
func (w *world) stopBoth(ctx context.Context) (string, error) {
	b, err := w.standby(ctx)
	if err != nil {
		return "", err
	}
	wake, err := pause(b.PID)
	if err != nil {
		return "", err
	}
	defer wake()
	what, err := w.stopAgent(ctx)
	return what + " and " + b.Job, err
}

// standbyTime is what the next standby may take once nothing is broken any more: the longest
// pause after several that did not last, and a start.
const standbyTime = 7 * time.Minute

// requireStandby waits until an agent stands by again.
func (w *world) requireStandby(ctx context.Context) (wrong []string) {
	if !w.cfg.standby {
		return nil
	}
	began := time.Now()
	for ctx.Err() == nil && time.Since(began) < standbyTime {
		if b, err := w.standby(ctx); err == nil {
			w.say("an agent stands by after %.1f s: process %d, %d MiB, sees the other one end: %v", time.Since(began).Seconds(), b.PID, b.Memory>>20, b.Watches)
			return nil
		}
		time.Sleep(500 * time.Millisecond)
	}
	b, err := w.standby(ctx)
	return []string{fmt.Sprintf("no agent stands by %s after everything else was well: %+v, %v", standbyTime, b, err)}
}
