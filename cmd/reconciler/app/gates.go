package app

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"dynctl/actors"
	"dynctl/state"
	"dynctl/state/registry"
)

const (
	// gateRenewal is how often the lease of a gate is renewed: three may fail.
	gateRenewal = state.GateTTL / 4
	// gateAgain is how long a gate that was put may take to be seen in etcd.
	gateAgain = time.Second
)

// gateTouch is what was done to a gate: it was put into a namespace, or its lease renewed.
type gateTouch struct {
	server, namespace string
	lease             int64
}

// gates puts and renews what keeps generations out of the frontend's choice, and lifts
// it, without holding up the round. What fails is planned again.
func (l *loop) gates(ctx context.Context, in actors.Input, r actors.Result) {
	due := map[gateTouch]time.Time{}
	for _, g := range r.Gates {
		k := gateTouch{g.Server, g.Namespace, g.Lease}
		if at, ok := l.touched[k]; ok && in.Now.Before(at) {
			due[k] = at
			continue
		}
		log := l.app.log.With("server", g.Server, "model", g.Model, "namespace", g.Namespace, "reason", g.Reason)
		if g.Lease == 0 {
			due[k] = in.Now.Add(gateAgain)
			go l.shut(ctx, log, g)
			continue
		}
		due[k] = in.Now.Add(gateRenewal)
		go l.renew(ctx, log, g)
	}
	l.touched = due
	for _, g := range r.Lifts {
		if l.app.revoking.begin(g.Lease) {
			go l.lift(ctx, g)
		}
	}
}

func (l *loop) shut(ctx context.Context, log *slog.Logger, g actors.Gate) {
	err := l.effects.shut(ctx, g.Server, registry.Gate{
		ServedName: g.ServedName, Slug: state.Slug(g.ServedName), Namespace: g.Namespace, Component: g.Component, Seen: g.Seen})
	if err != nil {
		log.Warn("a generation is not kept out of the frontend's choice; it is tried again", "err", err)
		return
	}
	log.Info("a generation is kept out of the frontend's choice until all of it is there")
}

func (l *loop) renew(ctx context.Context, log *slog.Logger, g actors.Gate) {
	if err := l.effects.renew(ctx, g.Server, g.Lease); err != nil {
		log.Warn("a gate was not renewed; it is tried again", "lease", strconv.FormatInt(g.Lease, 16), "err", err)
	}
}

// lift ends the gate's lease.
func (l *loop) lift(ctx context.Context, g actors.Lift) {
	defer l.app.revoking.end(g.Lease)
	ctx, cancel := context.WithTimeout(ctx, revokeTimeout)
	defer cancel()
	log := l.app.log.With("server", g.Server, "model", g.Model, "namespace", g.Namespace, "reason", g.Reason)
	if err := l.effects.revoke(ctx, g.Server, g.Lease); err != nil {
		log.Warn("a generation was not let into the frontend's choice; it is tried again", "err", err)
		return
	}
	log.Info("a generation enters the frontend's choice")
	l.app.frontends.Poke(g.Server)
}
