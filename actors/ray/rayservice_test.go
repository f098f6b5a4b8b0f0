package ray

import (
	"strings"
	"testing"
	"testing/synctest"

	rayv1 "github.com/ray-project/kuberay/ray-operator/apis/ray/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dynctl/actors"
)

func service(active, pending string) *rayv1.RayService {
	s := &rayv1.RayService{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: "chat"}}
	s.Status.ActiveServiceStatus.RayClusterName, s.Status.PendingServiceStatus.RayClusterName = active, pending
	return s
}

// followedService is a RayService that is followed, beside two clusters: the first has a
// token.
type followedService struct {
	*RayCluster
	t    *testing.T
	kube fakeKube
	told func() bool
}

func followService(t *testing.T) *followedService {
	t.Helper()
	at := func(ip string) func(*rayv1.RayCluster) {
		return status(func(s *rayv1.RayClusterStatus) { s.Head.ServiceIP = ip })
	}
	f := newFakeKube(t, cluster("chat-a", at("10.0.0.1"), auth(rayv1.AuthOptions{Mode: rayv1.AuthModeToken})), secret("chat-a", "of a"), cluster("chat-b", at("10.0.0.2")))
	r := NewRayCluster(f.kube(), Target{Namespace: "ml", Service: "chat"})
	s := &followedService{r, t, f, follow(t, r)}
	s.told()
	return s
}

func (s *followedService) create(o *rayv1.RayService) {
	s.t.Helper()
	if _, err := s.kube.rays.RayV1().RayServices("ml").Create(s.t.Context(), o, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
	s.told()
}

// update changes the service, and returns where Ray is then.
func (s *followedService) update(o *rayv1.RayService) Endpoint {
	s.t.Helper()
	if _, err := s.kube.rays.RayV1().RayServices("ml").Update(s.t.Context(), o, metav1.UpdateOptions{}); err != nil {
		s.t.Fatal(err)
	}
	if !s.told() {
		s.t.Error("nobody was told")
	}
	e, err := s.Endpoint(s.t.Context())
	if err != nil {
		s.t.Error(err)
	}
	return e
}

func TestRayServiceWithoutACluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := followService(t)
		_, err := r.Endpoint(t.Context())
		if reason, text := troubleIn(err); reason != actors.RayClusterNotFound || !strings.Contains(text, "--rayservice") {
			t.Errorf("no service: %v", err)
		}
		r.create(service("", "chat-a"))
		_, err = r.Endpoint(t.Context())
		if reason, text := troubleIn(err); reason != actors.RayClusterNotReady || !strings.Contains(text, "chat-a is the first one") {
			t.Errorf("no active cluster: %v", err)
		}
	})
}

// The active cluster of a RayService counts, and a switch is told before it happens.
func TestRayServiceIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := followService(t)
		r.create(service("", "chat-a"))
		if e := r.update(service("chat-a", "")); e != (Endpoint{URL: "http://10.0.0.1:8265", Token: "of a", TokenFrom: "Secret ml/chat-a"}) {
			t.Errorf("active: %+v", e)
		}
		e := r.update(service("chat-a", "chat-b"))
		if n := e.Notice; e.URL != "http://10.0.0.1:8265" || n.Reason != actors.RayServiceSwitching || !strings.Contains(n.Message, "chat-a, 60 s later") || !strings.Contains(n.Message, "chat-b") {
			t.Errorf("a switch that comes: %+v", e)
		}
		slow, delay := service("chat-a", "chat-b"), int32(1800)
		slow.Spec.RayClusterDeletionDelaySeconds = &delay
		if e := r.update(slow); !strings.Contains(e.Notice.Message, "1800 s later") {
			t.Errorf("another delay: %+v", e)
		}
		if e := r.update(service("chat-b", "")); e != (Endpoint{URL: "http://10.0.0.2:8265"}) {
			t.Errorf("switched: %+v", e)
		}
		if err := r.kube.rays.RayV1().RayClusters("ml").Delete(t.Context(), "chat-a", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		if r.told() {
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
