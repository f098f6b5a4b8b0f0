package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dynctl/actors"
	"dynctl/actors/plan"
	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/cmd/dynctl/internal/prose"
	"dynctl/events"
	"dynctl/state"
	"dynctl/state/kv"
)

const sweepLong = `List what stands under our names in Ray and no accepted spec asks for, or end it
gracefully. What a spec asks for is never swept: delete the spec instead.`

func (a *app) sweepCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "sweep [SERVER/UNIT...]",
		Short:   "List orphans, or end them",
		Long:    sweepLong,
		Example: "  dynctl sweep\n  dynctl sweep default/1a2b3c4d_qwen_DP0\n  dynctl sweep --all",

		ValidArgsFunction: a.offering(a.orphanNames),
	}
	all := cmd.Flags().Bool("all", false, "end every orphan")
	rayNamespace := cmd.Flags().String("ray-namespace", actors.DefaultRayNamespace, "the reconciler's Ray namespace")
	var grace time.Duration
	patienceVar(cmd.Flags(), &grace, "grace-period", 120*time.Second, "how long a process may drain")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *all && len(args) > 0 {
			return exit.Usagef("--all ends every orphan: name none beside it")
		}
		ctx := cmd.Context()
		return a.withClient(ctx, func(c *kv.Client) error {
			w, err := loadWorld(ctx, c)
			if err != nil {
				return err
			}
			w.now, w.rayNamespace = a.now(), *rayNamespace
			orphans := plan.Plan(w.input(nil)).Orphans
			if len(args) == 0 && !*all {
				a.listOrphans(orphans)
				return nil
			}
			chosen, err := chooseOrphans(orphans, args)
			if err != nil {
				return err
			}
			for _, o := range chosen {
				if err := sweep(ctx, c, w, o, grace); err != nil {
					return err
				}
				fmt.Fprintf(a.out, "unit/%s sweeping\n", o.Key)
			}
			return nil
		})
	}
	return cmd
}

func (a *app) listOrphans(orphans []actors.Orphan) {
	if len(orphans) == 0 {
		a.progress("no orphans")
		return
	}
	var t table
	t.add("UNIT", "REASON", "WHY")
	for _, o := range orphans {
		t.add(o.Key.String(), o.Reason, prose.FirstLine(o.Message))
	}
	t.write(a.out)
}

// chooseOrphans are the orphans that are named; all of them without names.
func chooseOrphans(orphans []actors.Orphan, names []string) ([]actors.Orphan, error) {
	if len(names) == 0 {
		return orphans, nil
	}
	byName := map[string]actors.Orphan{}
	for _, o := range orphans {
		byName[o.Key.String()] = o
	}
	var chosen []actors.Orphan
	for _, name := range names {
		o, ok := byName[strings.TrimPrefix(name, "unit/")]
		if !ok {
			return nil, exit.NotFoundf("%q is no orphan (see `dynctl sweep`); what a spec asks for ends with `dynctl delete`", name)
		}
		chosen = append(chosen, o)
	}
	return chosen, nil
}

// sweep tells the agent, in the epoch of the reconciler that leads: a newer leader
// makes it void.
func sweep(ctx context.Context, c *kv.Client, w *world, o actors.Orphan, grace time.Duration) error {
	lease, err := c.GetLeader(ctx)
	if errors.Is(err, kv.ErrNotFound) {
		return exit.Errorf(exit.Unreachable, "no reconciler leads, and only its epoch makes a sweep valid: start it (`make up`)")
	}
	if err != nil {
		return exit.Stored(err)
	}
	protocol := state.SpokenProtocol().Common(w.observed.Agent.Speaks())
	if protocol == 0 {
		return exit.Errorf(exit.Conflict, "the agent speaks %s of the protocol and this dynctl %s: use the dynctl of the reconciler's version",
			w.observed.Agent.Speaks(), state.SpokenProtocol())
	}
	u := unitOf(w.observed.Units, o.Key)
	command, err := json.Marshal(actors.EndCommand{
		CommandScope: actors.CommandScope{Protocol: protocol, StoreID: w.storeID, Session: w.observed.Agent.Session, Deadline: actors.CommandDeadline.Seconds()},
		GracePeriod:  grace.Seconds(), Generation: u.Generation,
	})
	if err != nil {
		return fmt.Errorf("encode sweep: %w", err)
	}
	publisher, err := events.NewPublisher(c.JetStream(), events.PublisherOptions{})
	if err != nil {
		return exit.Stored(err)
	}
	e := events.Event{
		Type: events.TypeSweep, Source: "dynctl/cli/" + author(), Object: o.Key.Unit, Time: w.now,
		Data: events.Data{
			Server: o.Key.Server, Model: u.Model, Unit: o.Key.Unit, Generation: u.Generation, Epoch: lease.Epoch,
			Reason: o.Reason, Message: "asked for by " + author(), Command: command,
		},
	}
	e.ID = e.CommandID(strconv.FormatUint(u.Revision, 10))
	err = publisher.Publish(ctx, e)
	return exit.Stored(errors.Join(err, publisher.Close(ctx)))
}

func unitOf(units []*state.Unit, key state.UnitKey) state.Unit {
	for _, u := range units {
		if u.Key() == key {
			return *u
		}
	}
	return state.Unit{}
}
