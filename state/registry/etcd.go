package registry

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"
)

// etcdStore is the store on a real etcd.
type etcdStore struct {
	client *clientv3.Client
	lost   chan struct{}
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func dialEtcd(endpoint string, login func(context.Context) (Login, error)) (store, error) {
	who := &identity{login: login}
	options := []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
		MinConnectTimeout: time.Second,
	}), grpc.WithChainUnaryInterceptor(who.intercept, failFast), grpc.WithPerRPCCredentials(who)}
	if overTLS(endpoint) {
		options = append(options, grpc.WithTransportCredentials(newTrust(login)))
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints:            strings.Split(endpoint, ","),
		DialKeepAliveTime:    5 * time.Second, // the least that etcd allows
		DialKeepAliveTimeout: 2 * time.Second,
		PermitWithoutStream:  true,
		// The watcher tries again by itself, and wants the reason at once.
		MaxUnaryRetries: 1,
		DialOptions:     options,
		Logger:          zap.NewNop(),
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &etcdStore{client: client, lost: make(chan struct{}, 1), cancel: cancel}
	s.wg.Go(func() { s.followConnection(ctx) })
	return s, nil
}

// failFast has a request to a dead etcd answered with the reason ("connection
// refused"); etcd's client lets it wait until its context ends.
//
//nolint:revive // the signature is gRPC's
func failFast(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	return invoke(ctx, method, req, reply, cc, append(slices.Clip(opts), grpc.WaitForReady(false))...)
}

// followConnection reports every connection that ends. A restarted etcd has no
// memory of a watch, and one with new data can answer with the same cluster id
// (it is a hash of its peer URLs) and, soon, a higher revision: only the loss of
// the connection tells for certain.
func (s *etcdStore) followConnection(ctx context.Context) {
	conn := s.client.ActiveConnection()
	for {
		before := conn.GetState()
		if !conn.WaitForStateChange(ctx, before) {
			return
		}
		if before == connectivity.Ready {
			select {
			case s.lost <- struct{}{}:
			default:
			}
		}
	}
}

func (s *etcdStore) Lost() <-chan struct{} { return s.lost }

func (s *etcdStore) List(ctx context.Context) (listing, error) {
	opts := []clientv3.OpOption{clientv3.WithPrefix(), clientv3.WithKeysOnly()}
	answer, err := s.client.Txn(ctx).Then(
		clientv3.OpGet(instancePrefix, opts...),
		clientv3.OpGet(cardPrefix, opts...),
	).Commit()
	if err != nil {
		return listing{}, err
	}
	l := listing{header: header{answer.Header.ClusterId, answer.Header.Revision}, Members: s.members(ctx)}
	for _, r := range answer.Responses {
		for _, kv := range r.GetResponseRange().Kvs {
			l.Keys = append(l.Keys, string(kv.Key))
		}
	}
	return l, nil
}

// members are the addresses that the members of the cluster tell clients; nil where
// it does not say.
func (s *etcdStore) members(ctx context.Context) []string {
	answer, err := s.client.MemberList(ctx)
	if err != nil {
		return nil // an etcd may let us read keys and not this
	}
	var out []string
	for _, m := range answer.Members {
		out = append(out, m.ClientURLs...)
	}
	slices.Sort(out)
	return out
}

// Watch watches one range that covers both prefixes, so that the order between
// them is kept; what lies between them is left to the reader.
func (s *etcdStore) Watch(ctx context.Context, from int64) <-chan batch {
	responses := s.client.Watch(clientv3.WithRequireLeader(ctx), instancePrefix,
		clientv3.WithRange(clientv3.GetPrefixRangeEnd(cardPrefix)), clientv3.WithRev(from))
	batches := make(chan batch)
	s.wg.Go(func() {
		defer close(batches)
		for r := range responses {
			b := batch{header: header{r.Header.ClusterId, r.Header.Revision}, Err: r.Err()}
			for _, ev := range r.Events {
				b.Changes = append(b.Changes, change{Key: string(ev.Kv.Key), Deleted: ev.Type == clientv3.EventTypeDelete})
			}
			select {
			case batches <- b:
			case <-ctx.Done():
				return
			}
		}
	})
	return batches
}

func (s *etcdStore) Probe(ctx context.Context) (header, error) {
	answer, err := s.client.Get(ctx, instancePrefix, clientv3.WithCountOnly())
	if err != nil {
		return header{}, err
	}
	return header{answer.Header.ClusterId, answer.Header.Revision}, nil
}

func (s *etcdStore) Revoke(ctx context.Context, lease int64) error {
	_, err := s.client.Revoke(ctx, clientv3.LeaseID(lease))
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return nil
	}
	return err
}

func (s *etcdStore) Grant(ctx context.Context, seconds int64) (int64, error) {
	answer, err := s.client.Grant(ctx, seconds)
	if err != nil {
		return 0, err
	}
	return int64(answer.ID), nil
}

func (s *etcdStore) PutUnless(ctx context.Context, key, value string, lease int64, n newer) (bool, error) {
	answer, err := s.client.Txn(ctx).
		If(clientv3.Compare(clientv3.CreateRevision(n.under), "<", n.than+1).WithPrefix()).
		Then(clientv3.OpPut(key, value, clientv3.WithLease(clientv3.LeaseID(lease)))).
		Commit()
	if err != nil {
		return false, err
	}
	return answer.Succeeded, nil
}

func (s *etcdStore) Renew(ctx context.Context, lease int64) error {
	_, err := s.client.KeepAliveOnce(ctx, clientv3.LeaseID(lease))
	return err
}

func (s *etcdStore) Close() error {
	s.cancel()
	err := s.client.Close()
	s.wg.Wait()
	return err
}
