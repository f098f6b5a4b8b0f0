package ray

import (
	"context"
	"errors"
	"os"
	"path/filepath"
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
	"k8s.io/client-go/rest"
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

// The token comes from the Secret that KubeRay gives the pods.
func TestTokenOfTheSecret(t *testing.T) {
	token, off := rayv1.AuthOptions{Mode: rayv1.AuthModeToken}, false
	named, long := "shared", "a-team-whose-names-are-long-and-number-9-of-its-clusters-in-production"
	tests := []struct {
		name    string
		cluster string
		auth    *rayv1.AuthOptions
		secret  *corev1.Secret
		env     string
		want    string // empty: none
		from    string
		reason  string
	}{
		{name: "no authentication", cluster: "prod", secret: secret("prod", "t")},
		{name: "disabled", cluster: "prod", auth: &rayv1.AuthOptions{Mode: rayv1.AuthModeDisabled}, secret: secret("prod", "t")},
		{name: "no mode: KubeRay turns nothing on", cluster: "prod", auth: &rayv1.AuthOptions{}, secret: secret("prod", "t")},
		{name: "named as the cluster", cluster: "prod", auth: &token, secret: secret("prod", "t"), want: "t", from: "Secret ml/prod"},
		{name: "a line end", cluster: "prod", auth: &token, secret: secret("prod", "t\n"), want: "t", from: "Secret ml/prod"},
		{name: "a Secret of one's own", cluster: "prod", auth: &rayv1.AuthOptions{Mode: "token", SecretName: &named, EnableK8sTokenAuth: &off}, secret: secret(named, "s"), want: "s", from: "Secret ml/shared"},
		{name: "a long name: its end", cluster: long, auth: &token, secret: secret(long[len(long)-50:], "l"), want: "l", from: "Secret ml/" + long[len(long)-50:]},
		{name: "a long name whose end begins with a dash", cluster: "-" + strings.Repeat("b", 49), auth: &token, secret: secret("r"+strings.Repeat("b", 49), "d"), want: "d"},
		{name: "a name that begins with a digit", cluster: "1st", auth: &token, secret: secret("rst", "d"), want: "d"},
		{name: "no Secret", cluster: "prod", auth: &token, secret: secret("other", "t"), reason: actors.RayTokenMissing},
		{name: "another key", cluster: "prod", auth: &token, secret: &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: "prod"},
			Data: map[string][]byte{"token": []byte("t")}}, reason: actors.RayTokenMissing},
		{name: "empty", cluster: "prod", auth: &token, secret: secret("prod", " \n"), reason: actors.RayTokenMissing},
		{name: "no Secret, and one in the environment", cluster: "prod", auth: &token, secret: secret("other", "t"), env: "e", want: "e", from: "RAY_AUTH_TOKEN"},
		{name: "both", cluster: "prod", auth: &token, secret: secret("prod", "t"), env: "e", want: "t"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			kube := newFakeKube(t, cluster(test.cluster, func(c *rayv1.RayCluster) { c.Spec.AuthOptions = test.auth }), test.secret).kube()
			kube.Token = test.env
			e, err := NewRayCluster(kube, Target{Namespace: "ml", Cluster: test.cluster}).Endpoint(t.Context())
			reason, text := troubleIn(err)
			if e.Token != test.want || reason != test.reason || test.from != "" && e.TokenFrom != test.from {
				t.Errorf("got %+v, %v", e, err)
			}
			if test.reason != "" && (!errors.Is(err, ErrUnauthorized) || !strings.Contains(text, "ml/prod") || !strings.Contains(text, "auth_token") && test.name != "empty") {
				t.Errorf("says %v", err)
			}
		})
	}
}

// A Secret that comes, is rotated, moves and goes is followed.
func TestTokenIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeKube(t, cluster("prod", auth(rayv1.AuthOptions{Mode: rayv1.AuthModeToken})))
		r := NewRayCluster(f.kube(), prod)
		told := follow(t, r)
		secrets := f.secrets.Secrets("ml")
		check := func(what, want string) {
			t.Helper()
			if !told() {
				t.Errorf("%s: nobody was told", what)
			}
			e, err := r.Endpoint(t.Context())
			if reason, _ := troubleIn(err); e.Token != want || (want == "") != (reason == actors.RayTokenMissing) {
				t.Errorf("%s: %+v, %v", what, e, err)
			}
		}
		check("none", "")
		_, err := secrets.Create(t.Context(), secret("prod", "one"), metav1.CreateOptions{})
		check("created", "one")
		_, err2 := secrets.Update(t.Context(), secret("prod", "two"), metav1.UpdateOptions{})
		check("rotated", "two")
		name := "shared"
		_, err3 := secrets.Create(t.Context(), secret(name, "three"), metav1.CreateOptions{})
		_, err4 := f.rays.RayV1().RayClusters("ml").Update(t.Context(), cluster("prod", auth(rayv1.AuthOptions{Mode: rayv1.AuthModeToken, SecretName: &name})), metav1.UpdateOptions{})
		check("another Secret", "three")
		_, err5 := secrets.Update(t.Context(), secret("prod", "four"), metav1.UpdateOptions{})
		if told() {
			t.Error("the Secret that counts no more was followed")
		}
		err6 := secrets.Delete(t.Context(), name, metav1.DeleteOptions{})
		check("deleted", "")
		if err := errors.Join(err, err2, err3, err4, err5, err6); err != nil {
			t.Fatal(err)
		}
	})
}

// With enableK8sTokenAuth the account's own token counts, as it is now.
func TestTokenOfTheAccount(t *testing.T) {
	on := true
	kube := newFakeKube(t, cluster("prod", auth(rayv1.AuthOptions{Mode: rayv1.AuthModeToken, EnableK8sTokenAuth: &on})), secret("prod", "not this")).kube()
	file := filepath.Join(t.TempDir(), "token")
	kube.Bearer = bearerOf(&rest.Config{BearerTokenFile: file})
	r := NewRayCluster(kube, prod)
	_, err := r.Endpoint(t.Context())
	if reason, text := troubleIn(err); reason != actors.RayTokenMissing || !strings.Contains(text, "ray:write") {
		t.Errorf("no file: %v", err)
	}
	for _, token := range []string{"first", "rotated"} {
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if e, err := r.Endpoint(t.Context()); e.Token != token || err != nil {
			t.Errorf("got %+v, %v", e, err)
		}
	}
	for name, bearer := range map[string]func() (string, error){"a certificate": bearerOf(&rest.Config{}), "none": nil} {
		kube.Bearer = bearer
		if _, err := NewRayCluster(kube, prod).Endpoint(t.Context()); !errors.Is(err, ErrUnauthorized) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func service(active, pending string) *rayv1.RayService {
	s := &rayv1.RayService{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: "chat"}}
	s.Status.ActiveServiceStatus.RayClusterName, s.Status.PendingServiceStatus.RayClusterName = active, pending
	return s
}

// The active cluster of a RayService counts, and a switch is told before it happens.
func TestRayServiceIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := func(ip string) func(*rayv1.RayCluster) {
			return status(func(s *rayv1.RayClusterStatus) { s.Head.ServiceIP = ip })
		}
		f := newFakeKube(t, cluster("chat-a", at("10.0.0.1"), auth(rayv1.AuthOptions{Mode: rayv1.AuthModeToken})), secret("chat-a", "of a"), cluster("chat-b", at("10.0.0.2")))
		r := NewRayCluster(f.kube(), Target{Namespace: "ml", Service: "chat"})
		told := follow(t, r)
		services, clusters := f.rays.RayV1().RayServices("ml"), f.rays.RayV1().RayClusters("ml")
		told()
		_, err := r.Endpoint(t.Context())
		if reason, text := troubleIn(err); reason != actors.RayClusterNotFound || !strings.Contains(text, "--rayservice") {
			t.Errorf("no service: %v", err)
		}
		if _, err := services.Create(t.Context(), service("", "chat-a"), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		told()
		_, err = r.Endpoint(t.Context())
		if reason, text := troubleIn(err); reason != actors.RayClusterNotReady || !strings.Contains(text, "chat-a is the first one") {
			t.Errorf("no active cluster: %v", err)
		}
		update := func(s *rayv1.RayService) Endpoint {
			t.Helper()
			if _, err := services.Update(t.Context(), s, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			if !told() {
				t.Error("nobody was told")
			}
			e, err := r.Endpoint(t.Context())
			if err != nil {
				t.Error(err)
			}
			return e
		}
		if e := update(service("chat-a", "")); e != (Endpoint{URL: "http://10.0.0.1:8265", Token: "of a", TokenFrom: "Secret ml/chat-a"}) {
			t.Errorf("active: %+v", e)
		}
		e := update(service("chat-a", "chat-b"))
		if n := e.Notice; e.URL != "http://10.0.0.1:8265" || n.Reason != actors.RayServiceSwitching || !strings.Contains(n.Message, "chat-a, 60 s later") || !strings.Contains(n.Message, "chat-b") {
			t.Errorf("a switch that comes: %+v", e)
		}
		slow, delay := service("chat-a", "chat-b"), int32(1800)
		slow.Spec.RayClusterDeletionDelaySeconds = &delay
		if e := update(slow); !strings.Contains(e.Notice.Message, "1800 s later") {
			t.Errorf("another delay: %+v", e)
		}
		if e := update(service("chat-b", "")); e != (Endpoint{URL: "http://10.0.0.2:8265"}) {
			t.Errorf("switched: %+v", e)
		}
		if err := clusters.Delete(t.Context(), "chat-a", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		if told() {
			t.Error("the cluster that was left was followed")
		}
	})
}

// Between a switch and the first word of the new objects nothing of the old ones counts,
// and what comes late of those is not taken.
func TestASwitchForgets(t *testing.T) {
	wants := auth(rayv1.AuthOptions{Mode: rayv1.AuthModeToken})
	f := newFakeKube(t, service("chat-b", ""), cluster("chat-b", wants), secret("chat-b", "of b"))
	r := NewRayCluster(f.kube(), Target{Namespace: "ml", Service: "chat"})
	r.see(func(v *view) { v.service = seen[rayv1.RayService]{known: true, object: service("chat-a", "")} })
	r.seeCluster("chat-a", seen[rayv1.RayCluster]{known: true, object: cluster("chat-a", wants)})
	r.seeSecret("chat-a", seen[corev1.Secret]{known: true, object: secret("chat-a", "of a")})
	if e, err := r.Endpoint(t.Context()); e.Token != "of a" || err != nil {
		t.Errorf("before: %+v, %v", e, err)
	}
	r.see(func(v *view) { v.service = seen[rayv1.RayService]{known: true, object: service("chat-b", "")} })
	late := func(what string) {
		t.Helper()
		if e, err := r.Endpoint(t.Context()); e.Token != "of b" || err != nil {
			t.Errorf("%s: %+v, %v", what, e, err)
		}
	}
	late("nothing of b is followed yet")
	r.seeCluster("chat-a", seen[rayv1.RayCluster]{known: true, object: cluster("chat-a", wants)})
	r.seeSecret("chat-a", seen[corev1.Secret]{known: true, object: secret("chat-a", "of a")})
	late("a late word of a")
	r.seeCluster("chat-b", seen[rayv1.RayCluster]{known: true, object: cluster("chat-b", wants)})
	r.seeSecret("chat-a", seen[corev1.Secret]{known: true, object: secret("chat-a", "of a")})
	late("a late word of its Secret")
}
