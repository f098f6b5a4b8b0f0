package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/cmd/dynctl/internal/prose"
	"dynctl/cmd/internal/verdict"
	"dynctl/state"
	"dynctl/state/kv"
)

const waitLong = `Wait until a condition of an object holds for the spec as it stands now.

--for is a condition (Ready, Available, Scheduled, ...), a condition with a
status (Ready=False, Suspended=True), or deleted. A spec that is rejected ends
the wait at once: it would never come true.

Exit code 5: the time is over; the message names what is missing.`

const waitExample = `  dynctl wait model/qwen3-8b --for Ready --timeout 5m
  dynctl wait model/qwen3-8b --for Suspended
  dynctl wait model/qwen3-8b --for deleted`

// conditionTypes are the conditions that can be waited for.
var conditionTypes = []string{
	state.CondAccepted, state.CondScheduled, state.CondWorkersReady, state.CondPrefillReady, state.CondDecodeReady,
	state.CondRegistered, state.CondRouterReady, state.CondReady, state.CondAvailable, state.CondUpToDate, state.CondSuspended,
}

// goal is what --for asks for.
type goal struct {
	deleted bool
	typ     string
	status  string
	// reason, if any, is what the condition may say as well, whatever its status.
	reason string
}

// told is a goal of a condition once it is reached.
func (g goal) told() string {
	if g.reason != "" {
		return g.typ + ": " + g.reason
	}
	return g.typ + "=" + g.status
}

func parseGoal(s string) (goal, error) {
	if strings.EqualFold(s, "deleted") || strings.EqualFold(s, "delete") {
		return goal{deleted: true}, nil
	}
	typ, status, given := strings.Cut(s, "=")
	if !given {
		status = state.StatusTrue
	}
	for _, t := range conditionTypes {
		if !strings.EqualFold(t, typ) {
			continue
		}
		for _, want := range []string{state.StatusTrue, state.StatusFalse, state.StatusUnknown} {
			if strings.EqualFold(want, status) {
				return goal{typ: t, status: want}, nil
			}
		}
		return goal{}, exit.Usagef("--for: %q is no status: want True, False or Unknown", status)
	}
	return goal{}, exit.Usagef("--for: %q is no condition: want deleted or one of %s", typ, strings.Join(conditionTypes, ", "))
}

func (a *app) waitCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:               "wait model/NAME|server/NAME...",
		Short:             "Wait until an object is ready, or gone",
		Long:              waitLong,
		Example:           waitExample,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completing(state.KindModel, state.KindServer),
	}
	what := cmd.Flags().String("for", state.CondReady, "condition, condition=status, or deleted")
	offerFlag(cmd, "for", completeGoals)
	var timeout time.Duration
	patienceVar(cmd.Flags(), &timeout, "timeout", 5*time.Minute, "how long to wait")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		g, err := parseGoal(*what)
		if err != nil {
			return err
		}
		ctx := cmd.Context()
		return a.withClient(ctx, func(c *kv.Client) error {
			var keys []state.Key
			for _, arg := range args {
				r, err := parseRef(arg)
				if err != nil {
					return err
				}
				key, err := a.find(ctx, c, r)
				if g.deleted && exit.CodeOf(err) == exit.NotFound {
					fmt.Fprintf(a.out, "%s deleted\n", r)
					continue
				}
				if err != nil {
					return err
				}
				keys = append(keys, key)
			}
			w := waiter{app: a, client: c, timeout: timeout}
			return w.all(ctx, keys, g)
		})
	}
	return cmd
}

// waiter waits for statuses.
type waiter struct {
	*app
	client  *kv.Client
	timeout time.Duration
	// asked are the revisions that have to reach the goal; of an object without one
	// it is the spec as it stands.
	asked map[state.Key]asked
	said  string
}

// all waits for every key; the time is for all of them together.
func (w *waiter) all(ctx context.Context, keys []state.Key, g goal) error {
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	for _, key := range keys {
		if err := w.one(ctx, key, g); err != nil {
			return err
		}
		if g.deleted {
			fmt.Fprintf(w.out, "%s deleted\n", refOf(key))
		} else {
			fmt.Fprintf(w.out, "%s %s\n", refOf(key), g.told())
		}
	}
	return nil
}

func (w *waiter) deleted(ctx context.Context, key state.Key) error {
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	return w.one(ctx, key, goal{deleted: true})
}

// recheck is how often a wait looks again although nothing woke it.
const recheck = time.Second

// one waits for one key: changes of the status wake it, what stands in the store
// decides.
func (w *waiter) one(ctx context.Context, key state.Key, g goal) error {
	watching, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	defer watch.Wait()
	defer stop()
	wake := make(chan struct{}, 1)
	watch.Go(func() {
		for change, err := range w.client.WatchStatuses(watching) {
			if err != nil || change.Key != key {
				continue // one looks again anyway
			}
			select {
			case wake <- struct{}{}:
			default:
			}
		}
	})
	again := time.NewTicker(recheck)
	defer again.Stop()
	for {
		done, err := w.reached(ctx, key, g)
		if ctx.Err() == nil && (done || err != nil) {
			return err
		}
		select {
		case <-wake:
		case <-again.C:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return exit.Errorf(exit.Timeout, "timed out after %s: %s", w.timeout, w.said)
			}
			return ctx.Err()
		}
	}
}

// reached reports whether the goal is reached by the spec as it stands now.
func (w *waiter) reached(ctx context.Context, key state.Key, g goal) (bool, error) {
	var now found
	entry, err := w.client.GetSpec(ctx, key)
	switch {
	case err == nil:
		now.revision, now.value = entry.Revision, entry.Value
	case !errors.Is(err, kv.ErrNotFound):
		return false, exit.Stored(err)
	}
	s, err := w.client.GetStatus(ctx, key)
	switch {
	case err == nil:
		now.status = &s
	case !errors.Is(err, kv.ErrNotFound):
		return false, exit.Stored(err)
	}
	if g.deleted {
		return w.isGone(key, g, now)
	}
	if w.asked[key].isReplaced(key, g, now) {
		return false, exit.Errorf(exit.Conflict, "%s: what was set (revision %d) was replaced by somebody else while waiting for it%s: look at it with `dynctl history %s`",
			refOf(key), w.asked[key].revision, newest(ctx, w.client, key), refOf(key))
	}
	return w.holds(key, g, now)
}

// found is what the store has of an object.
type found struct {
	revision uint64        // of its spec; 0: there is none
	value    []byte        // of that
	status   *state.Status // nil: there is none
}

func (w *waiter) isGone(key state.Key, g goal, now found) (bool, error) {
	switch name := refOf(key); {
	case now.revision != 0:
		return false, exit.Errorf(exit.Conflict, "%s is not deleted (revision %d): delete it with `dynctl delete %s`", name, now.revision, name)
	case now.status == nil:
		return true, nil
	}
	w.say("%s", w.missing(key, g, now.status))
	return false, nil
}

func (w *waiter) holds(key state.Key, g goal, now found) (bool, error) {
	name, s := refOf(key), now.status
	switch {
	case now.revision == 0 && key.Kind == state.KindModel:
		return false, exit.NotFoundf("%s was deleted while waiting for it", name)
	case s == nil:
	case now.revision != 0 && s.ObservedRevision != now.revision:
		w.say("%s: the reconciler has not seen revision %d yet", name, now.revision)
		return false, nil
	case g.isReached(s):
		return true, nil
	case condition(s, state.CondAccepted) == state.StatusFalse && g.status == state.StatusTrue && g.typ != state.CondAvailable:
		c, _ := s.Condition(state.CondAccepted)
		return false, exit.Usagef("%s: revision %d is rejected: %s: %s", name, now.revision, c.Reason, c.Message)
	}
	w.say("%s", w.missing(key, g, s))
	return false, nil
}

func (g goal) isReached(s *state.Status) bool {
	c, ok := s.Condition(g.typ)
	return ok && (c.Status == g.status || g.reason != "" && c.Reason == g.reason)
}

// say prints progress that is new.
func (w *waiter) say(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); text != w.said {
		w.said = text
		w.progress("%s", text)
	}
}

// missing says what stands between a status and the goal.
func (w *waiter) missing(key state.Key, g goal, s *state.Status) string {
	name := refOf(key).String()
	switch {
	case s == nil && g.deleted:
		return name + " is still there"
	case s == nil:
		return name + " has no status yet: is the reconciler running? (see `dynctl doctor`)"
	case g.deleted:
		var units []string
		for _, p := range s.Placements {
			units = append(units, p.Unit+" ("+p.State+")")
		}
		return fmt.Sprintf("%s still has %s", name, prose.OrDash(strings.Join(units, ", ")))
	}
	var lacking []string
	for _, typ := range verdict.Order {
		c, ok := s.Condition(typ)
		if ok && c.Status != state.StatusTrue && (typ == g.typ || slices.Index(verdict.Order, typ) < slices.Index(verdict.Order, state.CondReady)) {
			lacking = append(lacking, verdict.Describe(c))
		}
	}
	if len(lacking) == 0 || g.status != state.StatusTrue {
		c, _ := s.Condition(g.typ)
		return fmt.Sprintf("%s: %s is %s", name, g.typ, prose.OrDash(c.Status))
	}
	return name + ": " + strings.Join(lacking, "; ")
}
