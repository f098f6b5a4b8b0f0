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
	// gateEndpoint is the one of a gate's card; no worker has it.
	gateEndpoint = "arriving"
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
	// Grant makes a lease of so many seconds, PutUnless writes a key on one, if there is
	// nothing newer than was known, and Renew makes one last as long again; one that does
	// not exist is an error.
	Grant(ctx context.Context, seconds int64) (lease int64, err error)
	PutUnless(ctx context.Context, key, value string, lease int64, n newer) (put bool, err error)
	Renew(ctx context.Context, lease int64) error
	Close() error
}

// newer is any key that begins in a way and was made after a revision.
type newer struct {
	under string
	than  int64
}

// dialer makes a store of a server's etcd without waiting for it. It fails on an endpoint
// that is no address at all.
type dialer func(server, endpoint string) (store, error)

// header says whose answer it is and how new.
type header struct {
	ClusterID uint64
	Revision  int64
}

type listing struct {
	header
	Keys    []string
	Members []string // addresses for clients, sorted
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

// kind is what a key says.
type kind int

const (
	kindOther    kind = iota // Dynamo's own business
	kindInstance             // v1/instances/{namespace}/{component}/generate/{lease-hex}
	kindCard                 // v1/mdc/{namespace}/{component}/generate/{lease-hex}
	kindGate                 // v1/mdc/{namespace}/{component}/arriving/{lease-hex}
)

func parseKey(key string) (workerKey, kind) {
	rest, isInstance := strings.CutPrefix(key, instancePrefix)
	if !isInstance {
		var isCard bool
		if rest, isCard = strings.CutPrefix(key, cardPrefix); !isCard {
			return workerKey{}, kindOther
		}
	}
	parts := strings.Split(rest, "/")
	if len(parts) != 4 || parts[0] == "" || parts[1] == "" {
		return workerKey{}, kindOther
	}
	lease, err := strconv.ParseInt(parts[3], 16, 64)
	if err != nil || lease <= 0 {
		return workerKey{}, kindOther
	}
	k := workerKey{parts[0], parts[1], lease}
	switch {
	case parts[2] == servedEndpoint && isInstance:
		return k, kindInstance
	case parts[2] == servedEndpoint:
		return k, kindCard
	case parts[2] == gateEndpoint && !isInstance:
		return k, kindGate
	}
	return workerKey{}, kindOther
}
