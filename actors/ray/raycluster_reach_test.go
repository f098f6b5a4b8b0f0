package ray

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	rayv1 "github.com/ray-project/kuberay/ray-operator/apis/ray/v1"

	"dynctl/actors"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(code int, body string) *http.Response {
	return &http.Response{StatusCode: code, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body))}
}

// proxied is the API server's way to Ray, below a path.
func proxied(ray http.RoundTripper, prefix string) *apiProxy {
	return &apiProxy{next: roundTrip(func(req *http.Request) (*http.Response, error) {
		if req.Header.Get("Authorization") != "" || !strings.HasPrefix(req.URL.Path, prefix+"/") {
			return answer(http.StatusForbidden, `{"kind":"Status","apiVersion":"v1","message":"not so: `+req.URL.Path+`"}`), nil
		}
		inside := req.Clone(req.Context())
		inside.URL.Path = strings.TrimPrefix(req.URL.Path, prefix)
		inside.Header.Set("Authorization", req.Header.Get("X-Ray-Authorization")) // Ray takes either
		return ray.RoundTrip(inside)
	})}
}

// From outside the pods' network Ray is asked through the API server, which is said.
func TestOutsideThePodsNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ray := newFakeRay()
		ray.token = "t"
		kube := newFakeKube(t, cluster("prod", auth(rayv1.AuthOptions{Mode: rayv1.AuthModeToken})), secret("prod", "t")).kube()
		var probes atomic.Int32
		var reached atomic.Bool
		kube.Dial = func(_ context.Context, address string) error {
			if probes.Add(1); reached.Load() && address == "10.96.0.9:8265" {
				return nil
			}
			return errors.New("no route to host")
		}
		const prefix = "/k8s/api/v1/namespaces/ml/services/prod-head-svc:dashboard/proxy"
		kube.ProxyURL = "https://kube.example/k8s"
		kube.Proxy = proxied(ray, prefix)
		r := NewRayCluster(kube, prod)
		e, err := r.Endpoint(t.Context())
		if err != nil || e.URL != "https://kube.example"+prefix || e.Notice.Reason != actors.RayClusterOutside || !strings.Contains(e.Notice.Message, "etcd") {
			t.Fatalf("got %+v, %v", e, err)
		}
		cfg := configFor(t, ray)
		cfg.Resolver = r
		s, end := start(t, cfg, roundTrip(func(*http.Request) (*http.Response, error) { return nil, errors.New("not this way") }))
		defer end()
		pass(20 * time.Second)
		if st := s.State(); st.Phase != PhaseRunning || st.Notice.Reason != actors.RayClusterOutside {
			t.Errorf("state %+v", st)
		}
		if n := probes.Load(); n != 1 {
			t.Errorf("%d probes in 20 s", n)
		}
		reached.Store(true)
		pass(time.Minute)
		if e, err := r.Endpoint(t.Context()); err != nil || e.URL != "http://10.96.0.9:8265" || e.Proxy != nil || e.Notice.Reason != "" {
			t.Errorf("reached after all: %+v, %v", e, err)
		}
	})
}

// An answer of the API server's own is none of Ray's.
func TestAnswersOfTheAPIServer(t *testing.T) {
	const own = `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"services \"prod-head-svc\" is not reached","code":0}`
	tests := []struct {
		name   string
		code   int
		body   string
		want   error
		reason string
	}{
		{"no such service", 404, own, ErrUnreachable, ""},
		{"no endpoint", 503, own, ErrUnreachable, ""},
		{"no right", 403, own, ErrUnreachable, actors.KubernetesUnreadable},
		{"not logged in", 401, own, ErrUnreachable, actors.KubernetesUnreadable},
		{"Ray knows no such job", 404, `{"detail":"Job x does not exist"}`, ErrNoJob, ""},
		{"Ray's own refusal", 403, `{"kind":"Status of something"}`, ErrUnauthorized, actors.RayTokenRefused},
		{"Ray's own failure", 500, strings.Repeat(`{"error":"x"}`, 1000), ErrRefused, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			way := Endpoint{URL: "https://kube/proxy", TokenFrom: "Secret ml/prod", Proxy: &apiProxy{next: roundTrip(func(*http.Request) (*http.Response, error) {
				return answer(test.code, test.body), nil
			})}}
			_, err := newClient(way, "", nil).job(t.Context(), "x")
			if trouble := troubleOf(err, way); !errors.Is(err, test.want) || trouble.Reason != test.reason {
				t.Errorf("got %v (%q)", err, trouble.Reason)
			}
			if test.reason == actors.KubernetesUnreadable && !strings.Contains(err.Error(), "services/proxy") {
				t.Errorf("does not name the right: %v", err)
			}
		})
	}
}
