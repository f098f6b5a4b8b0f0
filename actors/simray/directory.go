package simray

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// directory is what the simulated frontends know: the workers that stand in etcd
// now. So a lease that the reconciler revokes takes its worker from them.
type directory struct {
	mu    sync.Mutex
	cards map[string]card // by key without its prefix
	// count is the number of workers by served name, namespace and worker type.
	count map[string]map[string]map[string]int
}

func newDirectory() *directory {
	return &directory{cards: map[string]card{}, count: map[string]map[string]map[string]int{}}
}

// follow keeps the directory until ctx ends.
func (d *directory) follow(ctx context.Context, etcd *clientv3.Client, log *slog.Logger) {
	for ctx.Err() == nil {
		if err := d.session(ctx, etcd); err != nil && ctx.Err() == nil {
			log.Warn("simray: etcd is not followed; trying again", "err", err)
			pause(ctx, 100*time.Millisecond)
		}
	}
}

func (d *directory) session(ctx context.Context, etcd *clientv3.Client) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	all, err := etcd.Get(ctx, cardPrefix, clientv3.WithPrefix())
	if err != nil {
		return err
	}
	d.reset()
	for _, kv := range all.Kvs {
		d.set(string(kv.Key), kv.Value)
	}
	for batch := range etcd.Watch(ctx, cardPrefix, clientv3.WithPrefix(), clientv3.WithRev(all.Header.Revision+1)) {
		if err := batch.Err(); err != nil {
			return err
		}
		for _, ev := range batch.Events {
			if ev.Type == clientv3.EventTypeDelete {
				d.drop(string(ev.Kv.Key))
			} else {
				d.set(string(ev.Kv.Key), ev.Kv.Value)
			}
		}
	}
	return ctx.Err()
}

func (d *directory) reset() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.cards)
	clear(d.count)
}

func (d *directory) set(key string, value []byte) {
	var c card
	if json.Unmarshal(value, &c) != nil || c.DisplayName == "" {
		return // somebody else's
	}
	d.drop(key)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cards[key] = c
	namespace := namespaceOf(key)
	if d.count[c.DisplayName] == nil {
		d.count[c.DisplayName] = map[string]map[string]int{}
	}
	if d.count[c.DisplayName][namespace] == nil {
		d.count[c.DisplayName][namespace] = map[string]int{}
	}
	d.count[c.DisplayName][namespace][c.WorkerType]++
}

func (d *directory) drop(key string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c, ok := d.cards[key]
	if !ok {
		return
	}
	delete(d.cards, key)
	workers := d.count[c.DisplayName][namespaceOf(key)]
	workers[c.WorkerType]--
	if workers[c.WorkerType] == 0 {
		delete(workers, c.WorkerType)
	}
	if len(workers) == 0 {
		delete(d.count[c.DisplayName], namespaceOf(key))
	}
	if len(d.count[c.DisplayName]) == 0 {
		delete(d.count, c.DisplayName)
	}
}

func namespaceOf(key string) string {
	namespace, _, _ := strings.Cut(strings.TrimPrefix(key, cardPrefix), "/")
	return namespace
}

// namespaces are the workers of a model by namespace, of those with a prefix.
func (d *directory) namespaces(model, prefix string) map[string]map[string]int {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := map[string]map[string]int{}
	for namespace, workers := range d.count[model] {
		if !strings.HasPrefix(namespace, prefix) {
			continue
		}
		out[namespace] = map[string]int{}
		for typ, n := range workers {
			out[namespace][typ] = n
		}
	}
	return out
}

// models are the served names that some namespace with a prefix serves.
func (d *directory) models(prefix string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := []string{}
	for model, namespaces := range d.count {
		for namespace, workers := range namespaces {
			if strings.HasPrefix(namespace, prefix) && len(missing(workers)) == 0 {
				out = append(out, model)
				break
			}
		}
	}
	slices.Sort(out)
	return out
}
