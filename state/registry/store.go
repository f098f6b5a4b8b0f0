package registry

import (
	"context"
	"strconv"
	"strings"
)

// What Dynamo keeps in etcd.
const (
	instancePrefix = "v1/instances/"
	cardPrefix     = "v1/mdc/"
	// servedEndpoint is the one that serves requests. A worker that publishes KV
	// events registers others beside it (worker_kv_query_source_*), which come and
	// go by themselves.
	servedEndpoint = "generate"
)

// store is what a watcher needs of one etcd.
type store interface {
	// List reads every key under both prefixes, at one revision.
	List(ctx context.Context) (listing, error)
	// Watch delivers what changes under both prefixes from a revision on, in
	// order. The channel is closed when the watch ends; a batch with Err is its last.
	Watch(ctx context.Context, from int64) <-chan batch
	// Probe asks for no more than an answer.
	Probe(ctx context.Context) (header, error)
	// Lost holds a token when an established connection has been lost.
	Lost() <-chan struct{}
	// Revoke revokes a lease; one that does not exist is a success.
	Revoke(ctx context.Context, lease int64) error
	Close() error
}

// dialer makes a store without waiting for its server. It fails on an endpoint
// that is no address at all.
type dialer func(endpoint string) (store, error)

// header says whose answer it is and how new.
type header struct {
	ClusterID uint64
	Revision  int64
}

type listing struct {
	header
	Keys []string
}

type batch struct {
	header
	Changes []change
	Err     error
}

// change is one key that was put or deleted.
type change struct {
	Key     string
	Deleted bool
}

// workerKey identifies a worker, under either prefix.
type workerKey struct {
	namespace, component string
	lease                int64
}

// parseKey reads v1/instances/{namespace}/{component}/generate/{lease-hex} and
// the same under v1/mdc. All other keys are Dynamo's own business.
func parseKey(key string) (k workerKey, card, ok bool) {
	rest, isInstance := strings.CutPrefix(key, instancePrefix)
	if !isInstance {
		rest, card = strings.CutPrefix(key, cardPrefix)
		if !card {
			return workerKey{}, false, false
		}
	}
	parts := strings.Split(rest, "/")
	if len(parts) != 4 || parts[0] == "" || parts[1] == "" || parts[2] != servedEndpoint {
		return workerKey{}, false, false
	}
	lease, err := strconv.ParseInt(parts[3], 16, 64)
	if err != nil || lease <= 0 {
		return workerKey{}, false, false
	}
	return workerKey{parts[0], parts[1], lease}, card, true
}
