package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"dynctl/state"
)

// Gate is what a gate is made of.
type Gate struct {
	// ServedName is that of the model, Slug its slug.
	ServedName, Slug string
	// Namespace is the Dynamo namespace of the generation to be kept out, and Component
	// any one of it.
	Namespace, Component string
	// Seen is the revision of etcd at which not all of the generation was registered.
	Seen int64
}

// ErrOvertaken says that more of a generation has registered than was known when its gate
// was asked for. It may serve by now, so nothing is put before it.
var ErrOvertaken = errors.New("a worker of it has registered meanwhile")

// Shut puts a gate into a server's etcd, on a lease of its own that lasts
// [state.GateTTL]. It takes UnknownAfter at most. Errors are those of Revoke, and
// [ErrOvertaken].
func (r *Registry) Shut(ctx context.Context, server string, g Gate) error {
	return r.inEtcd(ctx, server, "keep generation "+g.Namespace+" out", func(ctx context.Context, s store) error {
		lease, err := s.Grant(ctx, int64(state.GateTTL/time.Second))
		if err != nil {
			return err
		}
		value, err := g.card(lease)
		if err != nil {
			return err
		}
		key := fmt.Sprintf("%s%s/%s/%s/%x", cardPrefix, g.Namespace, g.Component, gateEndpoint, lease)
		put, err := s.PutUnless(ctx, key, value, lease, newer{under: cardPrefix + g.Namespace + "/", than: g.Seen})
		if err == nil && !put {
			return errors.Join(ErrOvertaken, s.Revoke(ctx, lease))
		}
		return err
	})
}

// Renew makes the lease of a gate last [state.GateTTL] again; one that is gone is an
// error. It takes UnknownAfter at most. Errors are those of Revoke.
func (r *Registry) Renew(ctx context.Context, server string, lease int64) error {
	return r.inEtcd(ctx, server, fmt.Sprintf("renew lease %x", lease), func(ctx context.Context, s store) error {
		return s.Renew(ctx, lease)
	})
}

// card is the least that Dynamo's frontend takes for a model card: of the type of worker
// that dynctl runs none of, and with no kind of request that it would build a pipeline for.
func (g Gate) card(lease int64) (string, error) {
	value, err := json.Marshal(map[string]any{
		"type": "Model", "namespace": g.Namespace, "component": g.Component, "endpoint": gateEndpoint, "instance_id": lease,
		"card_json": map[string]any{
			"display_name": g.ServedName, "slug": g.Slug, "model_type": "", "model_input": "Tokens", "worker_type": "encode",
			"needs": []string{}, "context_length": 0, "kv_cache_block_size": 0, "migration_limit": 0,
		},
	})
	return string(value), err
}

// inEtcd does something to a server's etcd; what says what, for an error.
func (r *Registry) inEtcd(ctx context.Context, server, what string, do func(context.Context, store) error) error {
	r.mu.Lock()
	w := r.watchers[server]
	r.mu.Unlock()
	switch {
	case w == nil || w.endpoint == "":
		return fmt.Errorf("%s, server %q: %w; it is tried again once its infra unit runs", what, server, ErrUnknownServer)
	case w.store == nil:
		return fmt.Errorf("%s, server %q: %w: %q is no address", what, server, ErrUnreachable, state.RedactURL(w.endpoint))
	}
	bounded, cancel := context.WithTimeout(ctx, r.cfg.UnknownAfter)
	defer cancel()
	switch err := do(bounded, w.store); {
	case errors.Is(err, ErrOvertaken):
		return fmt.Errorf("%s at etcd %s: %w", what, state.RedactURL(w.endpoint), err)
	case err != nil:
		if ctx.Err() != nil {
			return fmt.Errorf("%s at etcd %s: %w", what, state.RedactURL(w.endpoint), ctx.Err())
		}
		return fmt.Errorf("%s at etcd %s: %w: %w", what, state.RedactURL(w.endpoint), ErrUnreachable, err)
	}
	return nil
}
