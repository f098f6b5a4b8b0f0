package ray

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	rayv1 "github.com/ray-project/kuberay/ray-operator/apis/ray/v1"
	"github.com/ray-project/kuberay/ray-operator/pkg/client/clientset/versioned/fake"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/watch"
	corefake "k8s.io/client-go/kubernetes/typed/core/v1/fake"
	kubetesting "k8s.io/client-go/testing"

	"dynctl/actors"
)

var prod = Target{Namespace: "ml", Cluster: "prod"}

func cluster(name string, changes ...func(*rayv1.RayCluster)) *rayv1.RayCluster {
	c := &rayv1.RayCluster{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: name}}
	c.Status.Head = rayv1.HeadInfo{PodIP: "10.1.0.7", ServiceIP: "10.96.0.9", ServiceName: name + "-head-svc"}
	c.Status.Endpoints = map[string]string{"dashboard": "8265", "gcs-server": "6379"}
	condition(rayv1.HeadPodReady, metav1.ConditionTrue)(c)
	for _, change := range changes {
		change(c)
	}
	return c
}

func condition(typ rayv1.RayClusterConditionType, status metav1.ConditionStatus) func(*rayv1.RayCluster) {
	return func(c *rayv1.RayCluster) {
		for i := range c.Status.Conditions {
			if c.Status.Conditions[i].Type == string(typ) {
				c.Status.Conditions[i].Status = status
				return
			}
		}
		c.Status.Conditions = append(c.Status.Conditions, metav1.Condition{Type: string(typ), Status: status, Reason: "Because", Message: "it is so"})
	}
}

func suspend(is bool) func(*rayv1.RayCluster) {
	return func(c *rayv1.RayCluster) { c.Spec.Suspend = &is }
}

func status(change func(*rayv1.RayClusterStatus)) func(*rayv1.RayCluster) {
	return func(c *rayv1.RayCluster) { change(&c.Status) }
}

func auth(o rayv1.AuthOptions) func(*rayv1.RayCluster) {
	return func(c *rayv1.RayCluster) { c.Spec.AuthOptions = &o }
}

func secret(name, token string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: name}, Data: map[string][]byte{"auth_token": []byte(token)}}
}

// fakeKube is an API server in memory. It has no rights and checks no schema.
type fakeKube struct {
	rays    *fake.Clientset
	secrets *corefake.FakeCoreV1
}

func newFakeKube(t *testing.T, objects ...runtime.Object) fakeKube {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	tracker := kubetesting.NewObjectTracker(scheme, serializer.NewCodecFactory(scheme).UniversalDecoder())
	var rays []runtime.Object
	for _, o := range objects {
		if s, ok := o.(*corev1.Secret); ok {
			if err := tracker.Add(s); err != nil {
				t.Fatal(err)
			}
			continue
		}
		rays = append(rays, o)
	}
	f := fakeKube{
		rays:    fake.NewSimpleClientset(rays...), //nolint:staticcheck // its successor lacks KubeRay's schema
		secrets: &corefake.FakeCoreV1{Fake: &kubetesting.Fake{}},
	}
	f.secrets.AddReactor("*", "*", kubetesting.ObjectReaction(tracker))
	f.secrets.AddWatchReactor("*", func(action kubetesting.Action) (bool, watch.Interface, error) {
		w, err := tracker.Watch(action.GetResource(), action.GetNamespace())
		return true, w, err
	})
	return f
}

func (f fakeKube) kube() Kube { return Kube{Rays: f.rays, Secrets: f.secrets} }

// troubleIn is the reason and the text of an error.
func troubleIn(err error) (reason, text string) {
	f := troubleOf(err, Endpoint{})
	return f.Reason, f.String()
}

func TestRayClusterAddress(t *testing.T) {
	tests := []struct {
		name   string
		change func(*rayv1.RayClusterStatus)
		want   string // empty: ErrNotReady
	}{
		{"the service's address", func(*rayv1.RayClusterStatus) {}, "http://10.96.0.9:8265"},
		{"a headless service: the pod's", func(s *rayv1.RayClusterStatus) { s.Head.ServiceIP = "None" }, "http://10.1.0.7:8265"},
		{"no service yet: the pod's", func(s *rayv1.RayClusterStatus) { s.Head.ServiceIP = "" }, "http://10.1.0.7:8265"},
		{"IPv6", func(s *rayv1.RayClusterStatus) { s.Head.ServiceIP = "fd00::9" }, "http://[fd00::9]:8265"},
		{"another port", func(s *rayv1.RayClusterStatus) { s.Endpoints["dashboard"] = "9000" }, "http://10.96.0.9:9000"},
		{"no endpoints yet: Ray's own port", func(s *rayv1.RayClusterStatus) { s.Endpoints = nil }, "http://10.96.0.9:8265"},
		{"the head is not ready", func(s *rayv1.RayClusterStatus) { s.Conditions[0].Status = metav1.ConditionFalse }, ""},
		{"no condition yet", func(s *rayv1.RayClusterStatus) { s.Conditions = nil }, ""},
		{"no address", func(s *rayv1.RayClusterStatus) { s.Head = rayv1.HeadInfo{} }, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := NewRayCluster(newFakeKube(t, cluster("prod", status(test.change))).kube(), prod)
			got, err := r.Endpoint(t.Context())
			if test.want == "" {
				if reason, _ := troubleIn(err); !errors.Is(err, ErrNotReady) || reason != actors.RayClusterNotReady || !strings.Contains(err.Error(), "ml/prod") {
					t.Errorf("got %+v, %v", got, err)
				}
				return
			}
			if got != (Endpoint{URL: test.want}) || err != nil {
				t.Errorf("got %+v, %v, want %q alone", got, err, test.want)
			}
		})
	}
}

// Each state of a RayCluster has its reason, and says the way out.
func TestRayClusterReasons(t *testing.T) {
	deleted := func(c *rayv1.RayCluster) {
		c.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
		c.Finalizers = []string{"x"}
	}
	failing := condition(rayv1.RayClusterReplicaFailure, metav1.ConditionTrue)
	headless := condition(rayv1.HeadPodReady, metav1.ConditionFalse)
	tests := []struct {
		name    string
		changes []func(*rayv1.RayCluster)
		reason  string
		words   string
	}{
		{"asked to be suspended, and nothing has happened yet", []func(*rayv1.RayCluster){suspend(true)}, actors.RayClusterSuspending, "spec.suspend"},
		{"its pods are being deleted", []func(*rayv1.RayCluster){suspend(true), condition(rayv1.RayClusterSuspending, metav1.ConditionTrue), headless}, actors.RayClusterSuspending, "spec.suspend"},
		{"resumed before it was suspended", []func(*rayv1.RayCluster){suspend(false), condition(rayv1.RayClusterSuspending, metav1.ConditionTrue)}, actors.RayClusterSuspending, "deleted"},
		{"suspended", []func(*rayv1.RayCluster){suspend(true), condition(rayv1.RayClusterSuspended, metav1.ConditionTrue), headless}, actors.RayClusterSuspended, "Kueue"},
		{"suspended by an operator without conditions", []func(*rayv1.RayCluster){suspend(true), headless,
			status(func(s *rayv1.RayClusterStatus) { s.State = rayv1.Suspended })}, actors.RayClusterSuspended, "spec.suspend"}, //nolint:staticcheck // what older operators set
		{"being resumed", []func(*rayv1.RayCluster){suspend(false), condition(rayv1.RayClusterSuspended, metav1.ConditionTrue), headless}, actors.RayClusterNotReady, "resumed"},
		{"resumed", []func(*rayv1.RayCluster){suspend(false), condition(rayv1.RayClusterSuspended, metav1.ConditionFalse)}, "", ""},
		{"its head cannot be made", []func(*rayv1.RayCluster){failing, headless}, actors.RayReplicaFailure, "it is so"},
		{"its head cannot be made for the first time", []func(*rayv1.RayCluster){failing, status(func(s *rayv1.RayClusterStatus) { s.Conditions = s.Conditions[1:] })},
			actors.RayReplicaFailure, "Because"},
		{"being deleted", []func(*rayv1.RayCluster){deleted}, actors.RayClusterNotReady, "deleted"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := NewRayCluster(newFakeKube(t, cluster("prod", test.changes...)).kube(), prod).Endpoint(t.Context())
			reason, text := troubleIn(err)
			if reason != test.reason || !strings.Contains(text, test.words) || (err != nil) != (test.reason != "") {
				t.Errorf("got %q %q (%v)", reason, text, err)
			}
			if reason != "" && actors.ReasonText(reason) == "" {
				t.Errorf("%s is not explained", reason)
			}
		})
	}
	t.Run("a worker cannot be made", func(t *testing.T) {
		few := status(func(s *rayv1.RayClusterStatus) { s.ReadyWorkerReplicas, s.DesiredWorkerReplicas = 1, 3 })
		e, err := NewRayCluster(newFakeKube(t, cluster("prod", failing, few)).kube(), prod).Endpoint(t.Context())
		if err != nil || e.URL == "" || e.Notice.Reason != actors.RayReplicaFailure || !strings.Contains(e.Notice.Message, "1 of 3 workers") {
			t.Errorf("got %+v, %v", e, err)
		}
	})
	t.Run("it belongs to a RayService", func(t *testing.T) {
		owned := func(c *rayv1.RayCluster) {
			c.Labels = map[string]string{labelOwner: "chat", labelOwnerKind: "RayService"}
		}
		e, err := NewRayCluster(newFakeKube(t, cluster("prod", owned)).kube(), prod).Endpoint(t.Context())
		if err != nil || e.Notice.Reason != actors.RayClusterOfService || !strings.Contains(e.Notice.Way, "--rayservice ml/chat") {
			t.Errorf("got %+v, %v", e, err)
		}
	})
}

// What Kubernetes refuses is named with the right that is missing.
func TestKubernetesRefuses(t *testing.T) {
	refuse := func(a kubetesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(a.GetResource().GroupResource(), "prod", errors.New("no role allows it"))
	}
	f := newFakeKube(t, cluster("prod", auth(rayv1.AuthOptions{Mode: rayv1.AuthModeToken})), secret("prod", "t"))
	f.secrets.PrependReactor("*", "secrets", refuse)
	_, err := NewRayCluster(f.kube(), prod).Endpoint(t.Context())
	if reason, text := troubleIn(err); reason != actors.RayTokenMissing || !strings.Contains(text, "get, list and watch on this Secret") {
		t.Errorf("got %q %q", reason, text)
	}
	f.rays.PrependReactor("*", "rayclusters", refuse)
	_, err = NewRayCluster(f.kube(), prod).Endpoint(t.Context())
	if reason, text := troubleIn(err); reason != actors.KubernetesUnreadable || !strings.Contains(text, "rayclusters.ray.io") || !apierrors.IsForbidden(err) {
		t.Errorf("got %q %q", reason, text)
	}
}

// follow runs a resolver in a bubble and returns what waits until all is quiet and
// says whether a change was told.
func follow(t *testing.T, r *RayCluster) (told func() bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return func() bool {
		time.Sleep(time.Second)
		synctest.Wait()
		select {
		case <-r.Changed():
			return true
		default:
			return false
		}
	}
}

func TestRayClusterIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeKube(t, cluster("another"))
		r := NewRayCluster(f.kube(), prod)
		told := follow(t, r)
		if _, err := r.Endpoint(t.Context()); !told() || !errors.Is(err, ErrNotReady) {
			t.Errorf("absent: %v", err)
		}
		clusters := f.rays.RayV1().RayClusters("ml")
		if _, err := clusters.Create(t.Context(), cluster("prod"), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		steps := []struct {
			what         string
			change       func(*rayv1.RayCluster)
			reason, want string
		}{
			{"created", nil, "", "http://10.96.0.9:8265"},
			{"moved", status(func(s *rayv1.RayClusterStatus) { s.Head.ServiceIP = "10.96.0.10" }), "", "http://10.96.0.10:8265"},
			{"its head restarts", condition(rayv1.HeadPodReady, metav1.ConditionFalse), actors.RayClusterNotReady, ""},
			{"being suspended", suspend(true), actors.RayClusterSuspending, ""},
			{"back", suspend(false), "", "http://10.96.0.9:8265"},
		}
		for _, step := range steps {
			if step.change != nil {
				if _, err := clusters.Update(t.Context(), cluster("prod", step.change), metav1.UpdateOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			if !told() {
				t.Errorf("%s: nobody was told", step.what)
			}
			got, err := r.Endpoint(t.Context())
			if reason, _ := troubleIn(err); got.URL != step.want || reason != step.reason {
				t.Errorf("%s: %+v, %v", step.what, got, err)
			}
		}
		if _, err := clusters.Update(t.Context(), cluster("prod", func(c *rayv1.RayCluster) { c.Labels = map[string]string{"a": "b"} }), metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		if told() {
			t.Error("a change of no matter was told")
		}
		if err := clusters.Delete(t.Context(), "prod", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		told()
		_, err := r.Endpoint(t.Context())
		if reason, text := troubleIn(err); reason != actors.RayClusterNotFound || !strings.Contains(text, "--raycluster") {
			t.Errorf("deleted: %v", err)
		}
	})
}

// A new term begins to follow before the one before has ended, and is not cut off by it.
func TestTermsThatOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeKube(t, cluster("prod"))
		r := NewRayCluster(f.kube(), prod)
		first, end := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(first) }()
		synctest.Wait()
		told := follow(t, r)
		told()
		end()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		told()
		f.rays.ClearActions()
		if _, err := r.Endpoint(t.Context()); err != nil {
			t.Error(err)
		}
		if asked := f.rays.Actions(); len(asked) != 0 {
			t.Errorf("what the second Run has seen is forgotten: %v", asked)
		}
		if _, err := f.rays.RayV1().RayClusters("ml").Update(t.Context(), cluster("prod", suspend(true)), metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		if !told() {
			t.Error("the second Run does not follow")
		}
	})
}
