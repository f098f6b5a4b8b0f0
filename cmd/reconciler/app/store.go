package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dynctl/cmd/internal/agentaccess"
	"dynctl/cmd/internal/version"
	"dynctl/events"
	"dynctl/state/kv"
	"dynctl/state/kv/natsd"
	"dynctl/state/registry"
	"dynctl/state/roles"
)

// openNATS starts the embedded server, or dials the external one and waits for
// it: an external NATS that is down heals.
func (a *App) openNATS(ctx context.Context) error {
	options := []nats.Option{nats.Name("reconciler " + a.cfg.ID), nats.MaxReconnects(-1), nats.ReconnectWait(250 * time.Millisecond), nats.ReconnectBufSize(-1)}
	secure, err := a.secureNATS()
	if err != nil {
		return err
	}
	if a.cfg.NATSURL == "" {
		host, port, err := net.SplitHostPort(a.cfg.Listen)
		if err != nil {
			return err
		}
		number, err := strconv.Atoi(port)
		if err != nil {
			return fmt.Errorf("--listen %s: %w", a.cfg.Listen, err)
		}
		o := natsd.Options{
			Host: host, Port: number, StoreDir: filepath.Join(a.cfg.DataDir, "nats"), Log: a.log, Repair: a.cfg.Repair, Prepare: a.lock, TLS: secure,
			// Events are a record; the rest is made again from the agent and by an election.
			Disposable: []string{events.Stream, "KV_" + kv.BucketObserved, "KV_" + kv.BucketLease},
		}
		if a.natsd, err = natsd.Start(o); err != nil {
			return fmt.Errorf("embedded NATS on %s: %w", a.cfg.Listen, err)
		}
		if a.creds != nil {
			options = append(options, nats.CustomInboxPrefix(roles.InboxPrefix(roles.Reconciler)))
		}
		a.nc, err = a.natsd.Connect(options...)
		return err
	}
	// A server that hangs, or is behind a link that has gone silent, is left after 9 s at most.
	options = append(append(options, nats.Timeout(2*time.Second), nats.PingInterval(3*time.Second), nats.MaxPingsOutstanding(2)), a.authorities()...)
	told := false
	for {
		nc, err := nats.Connect(a.cfg.NATSURL, options...)
		if err == nil {
			a.nc = nc
			return nil
		}
		if !told {
			what, fix := "NATS does not answer; trying until it does", "start it, or correct --nats-url"
			switch {
			case kv.Untrusted(err):
				what, fix = "NATS does not prove what it is; trying until it does", "pass the authority of its certificate with --tls-ca, or correct the certificate"
			case errors.Is(err, nats.ErrAuthorization):
				what = "NATS does not let this reconciler in; trying until it does"
				fix = "give it a user in --nats-url-file; where another reconciler has this NATS embedded: dynctl creds add reconciler --name NAME --password --out FILE"
			}
			a.log.Error(what, "url", kv.Redact(a.cfg.NATSURL), "err", kv.RedactError(err), "fix", fix)
			told = true
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("NATS at %s: %w", kv.Redact(a.cfg.NATSURL), kv.RedactError(err))
		case <-time.After(time.Second):
		}
	}
}

func (a *App) openStore(ctx context.Context) error {
	js, err := jetstream.New(a.nc)
	if err != nil {
		return err
	}
	id, err := a.ensureStore(ctx, js)
	if err != nil {
		return err
	}
	a.store = kv.New(js)
	if err := a.withheld.serve(a.nc); err != nil {
		return fmt.Errorf("answers to the agent: %w", err)
	}
	if a.publisher, err = events.NewPublisher(js, events.PublisherOptions{
		Dir: filepath.Join(a.cfg.DataDir, "spool"), Replicas: a.cfg.Limits.Replicas, Log: a.log,
	}); err != nil {
		return err
	}
	a.log.Info("spec store", "id", id, "nats", kv.Redact(a.natsURL()), "batches", a.store.Batches(ctx) && a.publisher.Batches(ctx))
	a.registry = registry.New(registry.Config{Log: a.log, OnResync: a.metrics.resynced, Login: a.loginToEtcd})
	a.frontends = registry.NewFrontends(registry.FrontendsConfig{})
	a.loop = newLoop(a)
	if a.views, err = kv.Watch(context.WithoutCancel(ctx), js, a.loop.look, kv.OnResync(a.metrics.resynced), kv.WithLimits(a.cfg.Limits)); err != nil {
		return err
	}
	a.elector = kv.NewElector(js, kv.ElectorOptions{ID: a.cfg.ID, Version: version.Get().Version, Seen: a.seenEpoch,
		AgentFailure: a.supervisedFailure, RayNotice: a.supervisedNotice, Standby: a.standby, Replicas: a.cfg.Limits.Replicas, Log: a.log})
	if err := errors.Join(a.answerChecks(), a.serveCreds(), kv.ServeReads(a.nc, js, readingForOthers)); err != nil {
		return fmt.Errorf("answers to dynctl: %w", err)
	}
	if err := a.nc.Flush(); err != nil { // who asks at once is not told that nobody answers
		return fmt.Errorf("answers to dynctl: %w", err)
	}
	return nil
}

// loginToEtcd asks the agent how the etcd of a server lets us in.
func (a *App) loginToEtcd(ctx context.Context, server string) (registry.Login, error) {
	return agentaccess.Etcd(ctx, a.nc, server)
}

// natsURL is where clients on this machine reach the spec store.
func (a *App) natsURL() string {
	if a.natsd != nil {
		return a.natsd.URL()
	}
	return a.cfg.NATSURL
}
