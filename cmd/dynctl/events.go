package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"dynctl/events"
	"dynctl/state/kv"
)

const eventsLong = `Print what happened: every command that the reconciler gave and every fact that
it and the agent recorded, oldest first. Without --since or -n the last 50.

-o json prints one CloudEvents document a line.`

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
	fs.IntVarP(&f.last, "last", "n", 50, "at most this many stored events, the newest; 0: all")
	out := outputFlag(cmd, formatTable, formatJSON)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		opts, err := a.tailOptions(f)
		if err != nil {
			return err
		}
		if f.since != "" && !fs.Changed("last") {
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
			return o, usageErr("--type: no event has type %q: want one of %s", t, strings.Join(eventTypes, ", "))
		}
	}
	if f.last < 0 {
		return o, usageErr("-n: want 0 or more, got %d", f.last)
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
		return o, usageErr("--since: %q is neither a duration (10m) nor a time (2006-01-02T15:04:05Z)", f.since)
	}
	o.Since = since
	return o, nil
}

// tail prints the last stored events, and goes on with the new ones if asked to.
func (a *app) tail(ctx context.Context, js jetstream.JetStream, o events.TailOptions, f eventFilter, format string) error {
	var kept []events.Event
	for e, err := range events.Tail(ctx, js, o) {
		if err != nil {
			return stored(err)
		}
		kept = append(kept, e)
		if f.last > 0 && len(kept) > f.last {
			kept = kept[1:]
		}
	}
	p := eventPrinter{out: a.out, style: a.style, json: format == formatJSON}
	for _, e := range kept {
		if err := p.print(e); err != nil {
			return err
		}
		o.FromSeq = e.Sequence + 1
	}
	if !f.follow {
		return nil
	}
	if o.FromSeq > 0 {
		o.Since = time.Time{}
	}
	o.Follow = true
	for e, err := range events.Tail(ctx, js, o) {
		if err != nil {
			return stored(err)
		}
		if err := p.print(e); err != nil {
			return err
		}
	}
	return nil
}

// eventPrinter prints one event a line; the columns have fixed widths, because
// the next line is not known yet.
type eventPrinter struct {
	out    io.Writer
	style  palette
	json   bool
	headed bool
}

func (p *eventPrinter) print(e events.Event) error {
	if p.json {
		doc, err := events.Encode(e)
		if err != nil {
			return fmt.Errorf("encode event: %w", err)
		}
		_, err = fmt.Fprintf(p.out, "%s\n", doc)
		return err
	}
	const row = "%-20s  %-18s  %-32s  %s\n"
	if !p.headed {
		p.headed = true
		fmt.Fprintf(p.out, row, "TIME", "TYPE", "OBJECT", "REASON")
	}
	object := e.Data.Server
	if e.Object != "" && e.Object != object {
		object += "/" + e.Object
	}
	text := p.style.bold(e.Data.Reason)
	if e.Data.Message != "" {
		text = strings.TrimPrefix(text+": "+firstLine(e.Data.Message), ": ")
	}
	_, err := fmt.Fprintf(p.out, row, e.Time.UTC().Format(time.RFC3339), e.Type, orDash(object), orDash(text))
	return err
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
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
}
