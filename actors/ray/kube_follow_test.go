package ray

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	rayv1 "github.com/ray-project/kuberay/ray-operator/apis/ray/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// An account that may list and not watch still sees changes, and does not list at full
// speed for ever.
func TestAnObjectThatMayNotBeWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lists := 0
		clusters := kind[rayv1.RayCluster, *rayv1.RayClusterList]{
			list: func(context.Context, metav1.ListOptions) (*rayv1.RayClusterList, error) {
				lists++
				return &rayv1.RayClusterList{Items: []rayv1.RayCluster{{ObjectMeta: metav1.ObjectMeta{Name: "a"}}}}, nil
			},
			watch: func(context.Context, metav1.ListOptions) (watch.Interface, error) {
				return nil, errors.New("forbidden")
			},
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		seenIt := 0
		clusters.follow(ctx, "a", func(s seen[rayv1.RayCluster]) {
			if s.err == nil && s.object != nil {
				seenIt++
			}
		})
		if lists < 40 || lists > 120 {
			t.Errorf("listed %d times in 10 minutes, want about every 10 s", lists)
		}
		if seenIt != lists {
			t.Errorf("told %d times of %d lists", seenIt, lists)
		}
	})
}
