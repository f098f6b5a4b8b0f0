package app

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"dynctl/actors"
	"dynctl/cmd/internal/version"
	"dynctl/cmd/reconciler/app/ops"
	"dynctl/events"
	"dynctl/state"
)

const (
	// timelineLength is how many stored events the page begins with.
	timelineLength = 300
	// timelineRetry is the pause before the events are read again.
	timelineRetry = time.Second
)

// opsInput is the last round as the ops page shows it.
func (a *App) opsInput() ops.Input {
	in := ops.Input{
		Now: time.Now(), ID: a.cfg.ID, Version: version.Get().Version, Missing: a.missing(), Degraded: a.degraded(),
		NATSURL: withoutSecret(a.natsURL()), Leader: a.leadership(), Specs: map[string]ops.Spec{},
	}
	s := a.snapshot.Load()
	if s == nil {
		return in
	}
	in.Loaded, in.StoreID = s.input.Desired.Synced, s.input.Policy.StoreID
	in.Agent, in.AgentFailure = s.input.Observed.Agent, s.input.AgentFailure
	standby := a.standby()
	in.StandsBy = standby != nil && standby.State == state.StandbyReady
	in.Observed = isHeard(s.input)
	in.Units, in.Nodes = s.input.Observed.Units, s.input.Observed.Nodes
	in.Statuses, in.Waits, in.Orphans = s.result.Statuses, s.result.Waits, s.result.Orphans
	for _, m := range s.input.Desired.Models {
		if m.Accepted == 0 {
			continue
		}
		in.Specs[state.ModelKey(m.Server, m.Name).String()] = ops.Spec{
			ServedName: m.Spec.ServedName, Engine: m.Spec.Engine, Mode: m.Spec.Mode, GPUs: gpusOf(m),
		}
	}
	return in
}

// gpusOf is the number of GPUs of one worker, where every role has the same.
func gpusOf(m *actors.DesiredModel) int {
	n := -1
	for _, r := range m.Template.Roles {
		if n >= 0 && n != r.Needs.GPUs {
			return 0
		}
		n = r.Needs.GPUs
	}
	return max(n, 0)
}

func (a *App) leadership() ops.Leader {
	lease, known := a.elector.Leader()
	return ops.Leader{Known: known, Mine: known && lease.Holder == a.cfg.ID, Holder: lease.Holder, Epoch: lease.Epoch, Since: lease.Since}
}

// withoutSecret is a list of URLs that may be shown, or nothing where one has a
// user, a password or a token.
func withoutSecret(raw string) string {
	if strings.Contains(raw, "@") {
		return ""
	}
	return raw
}

// followEvents feeds the timeline of the page and the counters that rest on
// events, until ctx ends. What was stored before counts for the page alone.
func (a *App) followEvents(ctx context.Context) {
	js, err := jetstream.New(a.nc)
	if err != nil {
		a.log.Error("ops page: no events", "err", err)
		return
	}
	from, stored := uint64(0), uint64(0)
	for begun := false; ctx.Err() == nil; {
		if !begun {
			s, err := js.Stream(ctx, events.Stream)
			if err == nil {
				stored, begun = s.CachedInfo().State.LastSeq, true
				from = max(stored, timelineLength) - timelineLength + 1
			}
		}
		for e, err := range events.Tail(ctx, js, events.TailOptions{FromSeq: from, Follow: true}) {
			if errors.Is(err, events.ErrInvalid) {
				continue
			}
			if err != nil {
				break
			}
			from = e.Sequence + 1
			a.page.Timeline.Add(e)
			a.traces.happened(e, e.Sequence > stored)
			if e.Sequence > stored {
				a.metrics.happened(e)
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(timelineRetry):
		}
	}
}
