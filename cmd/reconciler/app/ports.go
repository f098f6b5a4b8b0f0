package app

import (
	"context"
	"errors"

	"dynctl/events"
	"dynctl/state"
	"dynctl/state/kv"
	"dynctl/state/registry"
)

// effects are all that a round does to the world. Nothing is decided behind them, and
// none of them rests on another: what fails is left as it is, and the next round sees
// that and asks again. So each may be repeated, also after a success that was not heard
// of, and then changes nothing that the first one did not.
type effects interface {
	// commands sends commands, and returns nil for each that the stream has. A repeat under
	// the same id is dropped by the stream.
	commands(ctx context.Context, all []events.Event) []error
	// fact records what was found out. It never fails: what cannot be stored yet waits
	// in the spool.
	fact(e events.Event)
	// putStatuses stores each of some statuses in place of its revision, and says what has
	// become of each: the new revision, or an error that concerns no other one;
	// [kv.ErrConflict] where another value stands there by now.
	putStatuses(ctx context.Context, statuses []state.Status) []kv.Put
	// deleteStatus removes a status; nil also where there is none.
	deleteStatus(ctx context.Context, key state.Key) error
	// discard deletes an unreadable value; [kv.ErrConflict] where another one stands
	// there by now.
	discard(ctx context.Context, u kv.Unreadable) error
	// revoke ends a lease in a server's etcd; nil also where there is no such lease.
	revoke(ctx context.Context, server string, lease int64) error
	// shut puts a gate, on a lease that ends by itself: a repeat puts another one, which
	// keeps out no more. renew makes such a lease last; one that has ended is an error.
	shut(ctx context.Context, server string, g registry.Gate) error
	renew(ctx context.Context, server string, lease int64) error
	// warm has the agent keep these worker processes ready, and no others.
	warm(ctx context.Context, order state.WarmOrder) error
}

// adapters carry the effects out: on the stream, the buckets and the servers' etcds.
type adapters struct{ *App }

func (a adapters) commands(ctx context.Context, all []events.Event) []error {
	return a.publisher.PublishAll(ctx, all)
}

func (a adapters) fact(e events.Event) { a.record(e) }

func (a adapters) putStatuses(ctx context.Context, statuses []state.Status) []kv.Put {
	return a.store.PutStatuses(ctx, statuses)
}

func (a adapters) deleteStatus(ctx context.Context, key state.Key) error {
	err := a.store.DeleteStatus(ctx, key)
	if errors.Is(err, kv.ErrNotFound) {
		return nil
	}
	return err
}

func (a adapters) discard(ctx context.Context, u kv.Unreadable) error { return a.store.Discard(ctx, u) }

func (a adapters) revoke(ctx context.Context, server string, lease int64) error {
	return a.registry.Revoke(ctx, server, lease)
}

func (a adapters) shut(ctx context.Context, server string, g registry.Gate) error {
	return a.registry.Shut(ctx, server, g)
}

func (a adapters) renew(ctx context.Context, server string, lease int64) error {
	return a.registry.Renew(ctx, server, lease)
}
