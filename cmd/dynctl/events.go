package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/events"
	"dynctl/state/kv"
)

const eventsLong = `Print what happened: every command that the reconciler gave and every fact that
it and the agent recorded, oldest first. A table without --since or -n begins with
the last 50.

-o json prints one CloudEvents document a line: all that are stored, unless -n or
--since says less. A message that is no event is told on standard error and passed
over.`

const eventsExample = `  dynctl events -f
  dynctl events --since 10m --type unit-exited,unit-backoff
  dynctl events --model qwen3-8b -n 20 -o json`

// eventFilter is what the flags of events select.
type eventFilter struct {
	follow bool
	since  string
	types  []string
	model  string
	last   int
}

func (a *app) eventsCmd() *cobra.Command {
	var f eventFilter
	cmd := &cobra.Command{
		Use:     "events",
		Short:   "Print what happened, and what happens",
		Long:    eventsLong,
		Example: eventsExample,
		Args:    cobra.NoArgs,
	}
	fs := cmd.Flags()
	fs.BoolVarP(&f.follow, "follow", "f", false, "go on with new events until interrupted")
	fs.StringVar(&f.since, "since", "", "from a duration ago (10m) or a time (2006-01-02T15:04:05Z) on")
	fs.StringSliceVar(&f.types, "type", nil, "only these types, such as unit-exited")
	fs.StringVar(&f.model, "model", "", "only events of this model")
	fs.IntVarP(&f.last, "last", "n", 50, "at most this many stored events, the newest; 0: all, as with -o json")
	offerFlag(cmd, "type", completeList(eventTypes))
	offerFlag(cmd, "model", a.offering(a.modelNames))
	out := outputFlag(cmd, formatTable, formatJSON)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		opts, err := a.tailOptions(f)
		if err != nil {
			return err
		}
		if (f.since != "" || out.value == formatJSON) && !fs.Changed("last") {
			f.last = 0
		}
		return a.withClient(cmd.Context(), func(c *kv.Client) error {
			err := a.tail(cmd.Context(), c.JetStream(), opts, f, out.value)
			if f.follow && cmd.Context().Err() != nil {
				return nil
			}
			return err
		})
	}
	return cmd
}

func (a *app) tailOptions(f eventFilter) (events.TailOptions, error) {
	o := events.TailOptions{Server: a.conn.server, Types: f.types, Model: f.model}
	for _, t := range f.types {
		if !slices.Contains(eventTypes, t) {
			return o, exit.Usagef("--type: no event has type %q: want one of %s", t, strings.Join(eventTypes, ", "))
		}
	}
	if f.last < 0 {
		return o, exit.Usagef("-n: want 0 or more, got %d", f.last)
	}
	if f.since == "" {
		return o, nil
	}
	if d, err := time.ParseDuration(f.since); err == nil {
		o.Since = a.now().Add(-d)
		return o, nil
	}
	since, err := time.Parse(time.RFC3339, f.since)
	if err != nil {
		return o, exit.Usagef("--since: %q is neither a duration (10m) nor a time (2006-01-02T15:04:05Z)", f.since)
	}
	o.Since = since
	return o, nil
}

// tail prints the last stored events, and goes on with the new ones if asked to.
func (a *app) tail(ctx context.Context, js jetstream.JetStream, o events.TailOptions, f eventFilter, format string) error {
	p := eventPrinter{out: a.out, style: a.style, json: format == formatJSON, width: columns(a.out)}
	var kept []events.Event
	for e, err := range events.Tail(ctx, js, o) {
		if unusable := a.unreadable(err); unusable != nil {
			return unusable
		}
		o.FromSeq = e.Sequence + 1
		switch {
		case err != nil:
		case f.last > 0:
			kept = append(kept, e)
			kept = kept[max(0, len(kept)-f.last):]
		default:
			if err := p.print(e); err != nil {
				return err
			}
		}
	}
	for _, e := range kept {
		if err := p.print(e); err != nil {
			return err
		}
	}
	if !f.follow {
		return nil
	}
	if o.FromSeq > 0 {
		o.Since = time.Time{}
	}
	o.Follow = true
	for e, err := range events.Tail(ctx, js, o) {
		if unusable := a.unreadable(err); unusable != nil {
			return unusable
		}
		if err != nil {
			continue
		}
		if err := p.print(e); err != nil {
			return err
		}
	}
	return nil
}

// unreadable tells of a message that is no event: whoever has the rights may write
// one, and it must not hide the others. Any other error is returned.
func (a *app) unreadable(err error) error {
	if errors.Is(err, events.ErrInvalid) {
		fmt.Fprintln(a.err, "note: passed over:", strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; "))
		return nil
	}
	return exit.Stored(err)
}

// eventPrinter prints one event a line; the columns have fixed widths, because
// the next line is not known yet.
type eventPrinter struct {
	out    io.Writer
	style  palette
	json   bool
	headed bool
	width  int // of the terminal; 0: there is none
}

func (p *eventPrinter) print(e events.Event) error {
	if p.json {
		doc, err := events.Encode(hideCommand(e))
		if err != nil {
			return fmt.Errorf("encode event: %w", err)
		}
		_, err = fmt.Fprintf(p.out, "%s\n", doc)
		return err
	}
	if !p.headed {
		p.headed = true
		fmt.Fprintln(p.out, p.row([4]string{"TIME", "TYPE", "OBJECT", "REASON"}))
	}
	_, err := fmt.Fprintln(p.out, p.row(p.style.eventCells(e)))
	return err
}

// eventObject is what an event is about, as a person names it: SERVER/OBJECT, and
// what concerns no server by its type.
func eventObject(e events.Event) string {
	switch server := e.Data.Server; {
	case server != "" && (e.Object == "" || e.Object == server):
		return server
	case server != "":
		return server + "/" + e.Object
	}
	switch e.Type {
	case events.TypePlan:
		return "cluster"
	case events.TypeLeaderElected, events.TypeLeaderLost:
		return "reconciler/" + e.Object
	case events.TypeAgentConnected, events.TypeAgentLost:
		return "agent/" + e.Object
	}
	if e.Object == events.ClusterServer {
		return "cluster"
	}
	return e.Object
}

// eventTypes are the types of the contract, in the order of an object's life.
var eventTypes = []string{
	events.TypeStart, events.TypeStop, events.TypeSweep,
	events.TypeSpecAccepted, events.TypeSpecRejected, events.TypeSpecDeleted, events.TypePlan,
	events.TypePlacementCreated, events.TypePlacementFailed,
	events.TypeUnitStarted, events.TypeUnitReady, events.TypeUnitExited, events.TypeUnitStopped, events.TypeUnitBackoff,
	events.TypeOrphanFound, events.TypeOrphanSwept, events.TypeRouterResolved, events.TypeRouterApplied,
	events.TypeRolloutStarted, events.TypeRolloutCompleted, events.TypeRolloutStalled, events.TypeRolloutSuperseded,
	events.TypeLeaderElected, events.TypeLeaderLost, events.TypeAgentConnected, events.TypeAgentLost,
	events.TypeDeletionBlocked,
	events.TypeValueUnreadable,
}
