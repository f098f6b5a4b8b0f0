package registry

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errDown = errors.New("connection refused")

// fakeEtcd is an etcd that can be put into any of its bad days.
type fakeEtcd struct {
	mu       sync.Mutex
	header   header
	keys     map[string]bool
	down     bool
	silent   bool // answers nothing, as behind a dropped route
	lists    int
	closed   bool
	watchers []*fakeWatch
	lost     chan struct{} // made by dial, in the bubble of the test
	revoked  []int64
	renewed  []int64
	values   map[string]string // by key, of PutUnless
	made     map[string]int64  // the revision of keys that were written
	// compacted makes the next watch end as one from a compacted revision.
	compacted bool
	// deaf makes watches wait in silence, as a resumed one does on other data.
	deaf bool
}

type fakeWatch struct {
	from    int64
	batches chan batch
}

func newFakeEtcd(keys ...string) *fakeEtcd {
	f := &fakeEtcd{header: header{ClusterID: 7, Revision: 10}, keys: map[string]bool{}}
	for _, k := range keys {
		f.keys[k] = true
	}
	return f
}

func (f *fakeEtcd) dial() (store, error) {
	f.lost = make(chan struct{}, 1)
	return f, nil
}

func (f *fakeEtcd) answer(ctx context.Context) error {
	f.mu.Lock()
	down, silent := f.down, f.silent
	f.mu.Unlock()
	if silent {
		<-ctx.Done()
		return ctx.Err()
	}
	if down {
		return errDown
	}
	return nil
}

func (f *fakeEtcd) List(ctx context.Context) (listing, error) {
	if err := f.answer(ctx); err != nil {
		return listing{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lists++
	l := listing{header: f.header}
	for k := range f.keys {
		l.Keys = append(l.Keys, k)
	}
	return l, nil
}

func (f *fakeEtcd) Watch(_ context.Context, from int64) <-chan batch {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := &fakeWatch{from: from, batches: make(chan batch, 16)}
	if f.compacted {
		f.compacted = false
		w.batches <- batch{header: f.header, Err: errors.New("required revision has been compacted")}
		close(w.batches)
		return w.batches
	}
	f.watchers = append(f.watchers, w)
	return w.batches
}

func (f *fakeEtcd) Probe(ctx context.Context) (header, error) {
	if err := f.answer(ctx); err != nil {
		return header{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.header, nil
}

func (f *fakeEtcd) Lost() <-chan struct{} { return f.lost }

func (f *fakeEtcd) Revoke(ctx context.Context, lease int64) error {
	if err := f.answer(ctx); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.revoked = append(f.revoked, lease)
	return nil
}

func (f *fakeEtcd) Grant(ctx context.Context, _ int64) (int64, error) { return 0x99, f.answer(ctx) }

func (f *fakeEtcd) PutUnless(ctx context.Context, key, value string, _ int64, n newer) (bool, error) {
	if err := f.answer(ctx); err != nil {
		return false, err
	}
	if f.madeAfter(n) {
		return false, nil
	}
	f.set(func() {
		if f.values == nil {
			f.values = map[string]string{}
		}
		f.values[key] = value
	})
	f.write(change{Key: key})
	return true, nil
}

func (f *fakeEtcd) madeAfter(n newer) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for k := range f.keys {
		if strings.HasPrefix(k, n.under) && f.made[k] > n.than {
			return true
		}
	}
	return false
}

func (f *fakeEtcd) Renew(ctx context.Context, lease int64) error {
	if err := f.answer(ctx); err != nil {
		return err
	}
	f.set(func() { f.renewed = append(f.renewed, lease) })
	return nil
}

func (f *fakeEtcd) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	return nil
}

// write changes keys and tells the watch in force.
func (f *fakeEtcd) write(changes ...change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.header.Revision++
	for _, c := range changes {
		if c.Deleted {
			delete(f.keys, c.Key)
		} else {
			f.keys[c.Key] = true
			if f.made == nil {
				f.made = map[string]int64{}
			}
			f.made[c.Key] = f.header.Revision
		}
	}
	if len(f.watchers) > 0 && !f.deaf {
		f.watchers[len(f.watchers)-1].batches <- batch{header: f.header, Changes: changes}
	}
}

func (f *fakeEtcd) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fakeEtcd) lastWatch() *fakeWatch {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.watchers[len(f.watchers)-1]
}

func (f *fakeEtcd) listCount() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lists
}
