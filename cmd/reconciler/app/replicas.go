package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"dynctl/events"
	"dynctl/state/kv"
)

// storeEvery is the pause between two tries to make buckets and stream.
const storeEvery = time.Second

// ensureStore makes the buckets and the stream of events, and returns the store's id. An
// external NATS that is between two leaders, or lacks a server, is waited for; so is a
// restore that was cut off, which needs the embedded NATS to be run again.
func (a *App) ensureStore(ctx context.Context, js jetstream.JetStream) (id string, err error) {
	for told := false; ; {
		if id, err = kv.EnsureBuckets(ctx, js, a.cfg.Limits); err != nil {
			err = fmt.Errorf("spec store: %w", err)
		} else if err = events.EnsureStream(ctx, js, a.cfg.Limits.Replicas); err == nil {
			return id, nil
		} else {
			err = fmt.Errorf("event stream: %w", err)
		}
		if a.natsd != nil && !errors.Is(err, kv.ErrRestoring) || !kv.Passes(err) {
			return "", err
		}
		if !told {
			a.log.Error("the store cannot be made or read yet; trying until it can", "err", kv.RedactError(err))
			told = true
		}
		select {
		case <-ctx.Done():
			return "", err
		case <-time.After(storeEvery):
		}
	}
}

// keepReaching follows the store through the servers of an external cluster.
func (a *App) keepReaching(ctx context.Context) error {
	if a.natsd != nil {
		<-ctx.Done()
		return nil
	}
	js, err := jetstream.New(a.nc)
	if err != nil {
		return err
	}
	kv.KeepReaching(ctx, js, func(server string) {
		a.log.Warn("the store is not reached through this NATS server, which may be cut off from the others; trying another", "server", server)
	})
	return nil
}

// raiseReplicas gives buckets that were made with fewer replicas as many as --replicas asks
// for, as soon as NATS has the servers.
func (a *App) raiseReplicas(ctx context.Context, js jetstream.JetStream, sizes []kv.BucketSize) {
	if len(a.fewReplicas(sizes)) == 0 {
		return
	}
	asking, cancel := context.WithTimeout(ctx, sizesPatience)
	defer cancel()
	err := kv.Raise(asking, js, a.cfg.Limits.Replicas, append(kv.Buckets(), events.Stream)...)
	if err != nil && !errors.Is(err, context.Canceled) {
		a.log.Debug("fewer replicas than asked for", "err", err)
	}
}

// fewReplicas names what has fewer replicas than --replicas asks for.
func (a *App) fewReplicas(sizes []kv.BucketSize) (few []string) {
	for _, b := range sizes {
		if b.Replicas < a.cfg.Limits.Replicas {
			few = append(few, fmt.Sprintf("%s (%d)", b.Name, b.Replicas))
		}
	}
	return few
}

// checkReplicas tells what fewer servers hold than asked for, and servers that are away.
func checkReplicas(a *App, _ *snapshot) check {
	sizes := a.bucketSizes()
	if few := a.fewReplicas(sizes); len(few) > 0 {
		return check{State: checkDegraded, Text: fmt.Sprintf("--replicas asks for %d, and fewer servers hold %s: see that the NATS cluster has as many servers with JetStream and room; "+
			"it is tried again every %s", a.cfg.Limits.Replicas, strings.Join(few, ", "), sizesEvery)}
	}
	var away []string
	for _, b := range sizes {
		if b.Away > 0 {
			away = append(away, fmt.Sprintf("%s (%d of %d)", b.Name, b.Replicas-b.Away, b.Replicas))
		}
	}
	if len(away) > 0 {
		return check{State: checkDegraded, Text: "replicas are away or behind, and one server less may be too few to store anything: " + strings.Join(away, ", ") +
			": start the NATS servers that are away"}
	}
	return check{State: checkOK}
}
