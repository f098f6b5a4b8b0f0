package ray

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	rayv1 "github.com/ray-project/kuberay/ray-operator/apis/ray/v1"
	"github.com/ray-project/kuberay/ray-operator/pkg/client/clientset/versioned/fake"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

func TestStatic(t *testing.T) {
	tests := []struct{ name, address, want string }{
		{"as it is", "http://127.0.0.1:8265", "http://127.0.0.1:8265"},
		{"without the slash", "https://ray.example/prefix/", "https://ray.example/prefix"},
		{"no scheme", "127.0.0.1:8265", ""},
		{"Ray's own scheme", "ray://127.0.0.1:10001", ""},
		{"empty", "", ""},
		{"no host", "http://", ""},
		{"a query", "http://h/?x=1", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := NewStatic(test.address)
			if test.want == "" {
				if !errors.Is(err, ErrAddress) {
					t.Errorf("got %v", err)
				}
				return
			}
			if got, _ := s.Address(t.Context()); got != test.want || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func cluster(name string, change func(*rayv1.RayClusterStatus)) *rayv1.RayCluster {
	c := &rayv1.RayCluster{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: name}}
	c.Status.Head = rayv1.HeadInfo{PodIP: "10.1.0.7", ServiceIP: "10.96.0.9", ServiceName: name + "-head-svc"}
	c.Status.Endpoints = map[string]string{"dashboard": "8265", "gcs-server": "6379"}
	c.Status.Conditions = []metav1.Condition{{Type: string(rayv1.HeadPodReady), Status: metav1.ConditionTrue}}
	if change != nil {
		change(&c.Status)
	}
	return c
}

// newFake is an API server in memory.
func newFake(clusters ...runtime.Object) *fake.Clientset {
	return fake.NewSimpleClientset(clusters...) //nolint:staticcheck // its successor lacks KubeRay's schema
}

func TestRayClusterAddress(t *testing.T) {
	tests := []struct {
		name   string
		change func(*rayv1.RayClusterStatus)
		want   string // empty: ErrNotReady
	}{
		{"the service's address", nil, "http://10.96.0.9:8265"},
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
			r := NewRayCluster(newFake(cluster("prod", test.change)), "ml", "prod")
			got, err := r.Address(t.Context())
			if test.want == "" {
				if !errors.Is(err, ErrNotReady) || !strings.Contains(err.Error(), "ml/prod") {
					t.Errorf("got %q, %v", got, err)
				}
				return
			}
			if got != test.want || err != nil {
				t.Errorf("got %q, %v, want %q", got, err, test.want)
			}
		})
	}
}

func TestRayClusterIsFollowed(t *testing.T) {
	client := newFake(cluster("another", nil))
	r := NewRayCluster(client, "ml", "prod")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	await := func(what string, holds func(address string, err error) bool) {
		t.Helper()
		late := time.After(10 * time.Second)
		for !holds(r.Address(ctx)) {
			select {
			case <-r.Changed():
			case <-late:
				address, err := r.Address(ctx)
				t.Fatalf("%s: %q, %v", what, address, err)
			}
		}
	}
	clusters := client.RayV1().RayClusters("ml")
	is := func(want string) func(string, error) bool {
		return func(got string, err error) bool { return got == want && err == nil }
	}
	notReady := func(_ string, err error) bool { return errors.Is(err, ErrNotReady) }

	<-r.Changed() // the first answer
	await("absent", notReady)
	// The fake delivers nothing to a watch that is not there yet.
	for watching := false; !watching; {
		for _, a := range client.Actions() {
			watching = watching || a.GetVerb() == "watch"
		}
	}
	if _, err := clusters.Create(ctx, cluster("prod", nil), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	await("created", is("http://10.96.0.9:8265"))
	moved := cluster("prod", func(s *rayv1.RayClusterStatus) { s.Head.ServiceIP = "10.96.0.10" })
	if _, err := clusters.Update(ctx, moved, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	await("moved", is("http://10.96.0.10:8265"))
	unready := cluster("prod", func(s *rayv1.RayClusterStatus) { s.Conditions[0].Status = metav1.ConditionFalse })
	if _, err := clusters.Update(ctx, unready, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	await("its head restarts", notReady)
	if err := clusters.Delete(ctx, "prod", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	await("deleted", func(_ string, err error) bool {
		return errors.Is(err, ErrNotReady) && strings.Contains(err.Error(), "--raycluster")
	})
}

func TestRayClusterReference(t *testing.T) {
	for _, ref := range []string{"", "prod", "/prod", "ml/", "a/b/c"} {
		if _, err := DialRayCluster(ref); !errors.Is(err, ErrAddress) {
			t.Errorf("%q: %v", ref, err)
		}
	}
}

func TestTokenFromEnv(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("of the file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const unset = "unset"
	tests := []struct{ name, mode, token, path, want string }{
		{"not in token mode", "", "ignored", "", ""},
		{"disabled beside a token", "disabled", "", file, ""},
		{"a token that is there counts by itself", unset, "", file, "of the file"},
		{"no mode and no token", unset, "", file + "x", ""},
		{"the variable", "token", " of the variable ", file, "of the variable"},
		{"the file", "TOKEN", "", file, "of the file"},
		{"no file", "token", "", file + "x", "error"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("RAY_AUTH_MODE", test.mode)
			if test.mode == unset {
				_ = os.Unsetenv("RAY_AUTH_MODE") // t.Setenv puts it back
			}
			t.Setenv("RAY_AUTH_TOKEN", test.token)
			t.Setenv("RAY_AUTH_TOKEN_PATH", test.path)
			got, err := TokenFromEnv()
			if test.want == "error" {
				if !errors.Is(err, ErrUnauthorized) {
					t.Errorf("got %v", err)
				}
				return
			}
			if got != test.want || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}
