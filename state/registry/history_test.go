package registry

import (
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"dynctl/state"
)

// What went with etcd's data is told apart from what went by itself.
func TestWhatWentIsTold(t *testing.T) {
	for _, row := range []struct {
		name    string
		disturb func(f *fakeEtcd, r *Registry)
		lost    []int64
		left    []int64
	}{
		{"a delete", func(f *fakeEtcd, _ *Registry) { f.write(change{Key: keyA, Deleted: true}) }, nil, []int64{0xa1}},
		{"a delete in a gap", func(f *fakeEtcd, _ *Registry) {
			f.set(func() { f.deaf = true })
			f.write(change{Key: keyA, Deleted: true})
			close(f.lastWatch().batches)
		}, nil, []int64{0xa1}},
		{"a restart with its data", func(f *fakeEtcd, _ *Registry) { f.lost <- struct{}{} }, nil, nil},
		{"a lower revision", func(f *fakeEtcd, _ *Registry) {
			f.set(func() { f.header.Revision, f.keys = 1, map[string]bool{} })
		}, []int64{0xa1, 0xb2}, nil},
		{"another cluster", func(f *fakeEtcd, _ *Registry) {
			f.set(func() { f.header, f.keys = header{ClusterID: 8, Revision: 90}, map[string]bool{} })
		}, []int64{0xa1, 0xb2}, nil},
		{"a lower revision after a time without an address", func(f *fakeEtcd, r *Registry) {
			r.Set(map[string]string{"default": ""})
			time.Sleep(10 * time.Second)
			f.set(func() { f.header.Revision, f.keys = 1, map[string]bool{} })
			r.Set(map[string]string{"default": endpoint})
		}, []int64{0xa1, 0xb2}, nil},
		{"a lower revision after a time without an answer", func(f *fakeEtcd, _ *Registry) {
			f.set(func() { f.down = true })
			f.lost <- struct{}{}
			time.Sleep(10 * time.Second)
			f.set(func() { f.down, f.header.Revision, f.keys = false, 1, map[string]bool{} })
		}, []int64{0xa1, 0xb2}, nil},
		{"none is left after a restart, at a higher revision", func(f *fakeEtcd, _ *Registry) {
			f.set(func() { f.header.Revision, f.keys = f.header.Revision+5, map[string]bool{} })
			f.lost <- struct{}{}
		}, []int64{0xa1, 0xb2}, nil},
		{"one is left after a restart", func(f *fakeEtcd, _ *Registry) {
			f.set(func() { f.header.Revision, f.keys = f.header.Revision+5, map[string]bool{keyB: true} })
			f.lost <- struct{}{}
		}, nil, []int64{0xa1}},
		{"another server of that name", func(f *fakeEtcd, r *Registry) {
			r.Set(nil)
			f.set(func() { f.header.Revision, f.keys = 1, map[string]bool{} })
			r.Set(map[string]string{"default": endpoint})
		}, nil, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := newFakeEtcd(keyA, cardA, keyB)
			watch(t, f, func(t *testing.T, r *Registry) {
				row.disturb(f, r)
				time.Sleep(5 * time.Second)
				synctest.Wait()
				got := r.Snapshot()["default"]
				want := state.Registrations{Known: true, Lost: row.lost, Left: row.left}
				got.ClusterID, got.Revision, got.Instances = 0, 0, nil
				if diff := cmp.Diff(want, got); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestResyncsAreTold(t *testing.T) {
	for want, disturb := range map[string]func(f *fakeEtcd){
		ResyncClosed:    func(f *fakeEtcd) { close(f.lastWatch().batches) },
		ResyncLost:      func(f *fakeEtcd) { f.lost <- struct{}{} },
		ResyncRecreated: func(f *fakeEtcd) { f.set(func() { f.header.ClusterID = 8 }) },
		ResyncWentBack:  func(f *fakeEtcd) { f.set(func() { f.header.Revision = 1 }) },
	} {
		t.Run(want, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeEtcd(keyA)
				var told []string
				r := newRegistry(Config{OnResync: func(cause string) { told = append(told, cause) }}, func(_, _ string) (store, error) { return f.dial() })
				defer r.Close()
				r.Set(map[string]string{"default": endpoint})
				synctest.Wait()
				disturb(f)
				time.Sleep(5 * time.Second)
				synctest.Wait()
				if diff := cmp.Diff([]string{want}, told); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// What is followed from list to list is what a look at both whole lists finds.
func TestLeasesThatGoAreFoundAmongThoseThatStay(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 1))
	var h history
	before := map[int64]bool{}
	for range 500 {
		var list []state.Instance
		now, want := map[int64]bool{}, []int64{}
		for lease := range int64(8) {
			for _, component := range []string{"decode", "prefill"} {
				if random.IntN(3) > 0 {
					list = append(list, state.Instance{Namespace: "ns", Component: component, Lease: lease, Card: random.IntN(4) > 0})
					now[lease] = true
				}
			}
			if before[lease] && !now[lease] {
				want = append(want, lease)
			}
		}
		slices.SortFunc(list, compareInstances)
		if got := h.follow(list); !slices.Equal(got, want) || len(h.leases) != len(now) {
			t.Fatalf("of %v have gone %v, want %v; %d are left, want %d", before, got, want, len(h.leases), len(now))
		}
		before = now
	}
}
