//go:build kube

package kube

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"dynctl/actors"
	"dynctl/actors/ray"
)

// TestKube is one story, because an API server takes some seconds to start.
func TestKube(t *testing.T) {
	s := startServer(t)
	rays := filepath.Join(module(t, "github.com/ray-project/kuberay/ray-operator"), "config/crd/bases")
	prometheus := filepath.Join(module(t, "github.com/prometheus-operator/prometheus-operator@v0.85.0"), "example/prometheus-operator-crd/monitoring.coreos.com_")
	for _, crd := range []string{rays + "/ray.io_rayclusters.yaml", rays + "/ray.io_rayservices.yaml",
		prometheus + "servicemonitors.yaml", prometheus + "prometheusrules.yaml", prometheus + "scrapeconfigs.yaml"} {
		s.must("kubectl", "create", "-f", crd)
	}
	for _, ns := range []string{"ml", "serving"} {
		s.must("kubectl", "create", "namespace", ns)
	}
	s.eventually("the definitions are served", func() error {
		_, err := s.try("kubectl", "get", "rayclusters,rayservices,servicemonitors,prometheusrules,scrapeconfigs", "-A")
		return err
	})
	t.Run("every example is taken", s.part(installsExamples))
	t.Run("a RayCluster is followed", s.part(followsACluster))
	t.Run("a RayService is followed", s.part(followsAService))
}

// installsExamples: the API server takes every object of every example, and what is
// uninstalled leaves the claims that are to stay, alone.
func installsExamples(t *testing.T, s *server) {
	examples, err := filepath.Glob(root + "/deploy/helm/examples/*.yaml")
	if err != nil || len(examples) == 0 {
		t.Fatalf("%d examples, %v", len(examples), err)
	}
	for _, file := range examples {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		s.must("helm", "install", name, root+"/deploy/helm/dynctl", "-n", "serving", "-f", file)
		s.must("helm", "uninstall", name, "-n", "serving")
	}
	for _, tree := range []string{"embedded", "two-replicas"} {
		out := s.must("kubectl", "kustomize", root+"/deploy/kustomize/"+tree)
		if _, err := s.feed(strings.ReplaceAll(out, "namespace: dynctl", "namespace: serving"), "kubectl", "create", "--dry-run=server", "-f", "-"); err != nil {
			t.Errorf("kustomize %s: %v", tree, err)
		}
	}
	// No controller is there that takes the finalizer of a claim away.
	left := s.must("kubectl", "-n", "serving", "get", "pvc,deploy,svc,role,networkpolicy,pdb", "-o",
		"go-template={{range .items}}{{if not .metadata.deletionTimestamp}}{{.kind}}/{{.metadata.name}} {{end}}{{end}}")
	if want := "PersistentVolumeClaim/account-dynctl PersistentVolumeClaim/embedded-dynctl "; left != want {
		t.Errorf("left behind: %q, want %q", left, want)
	}
}

// follower is a resolver with the rights of the chart's account.
type follower struct {
	*ray.RayCluster
	t *testing.T
	s *server
}

// follow makes one with the account of a release in the namespace ml.
func (s *server) follow(t *testing.T, target ray.Target) follower {
	t.Helper()
	t.Setenv("KUBECONFIG", s.config("reconciler", strings.TrimSpace(s.must("kubectl", "-n", "ml", "create", "token", "dynctl"))))
	kube, err := ray.DialKube("")
	if err != nil {
		t.Fatal(err)
	}
	kube.Dial = func(context.Context, string) error { return nil } // as a pod has it
	f := follower{ray.NewRayCluster(kube, target), t, s}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return f
}

// says waits until there is no way, for a reason, in words.
func (f follower) says(reason, words string) {
	f.t.Helper()
	f.s.eventually(reason, func() error {
		e, err := f.Endpoint(f.t.Context())
		if found := ray.Trouble(err); found.Reason == reason && strings.Contains(found.String(), words) {
			return nil
		}
		return fmt.Errorf("got %+v, %w", e, errors.Join(err, errors.New("want "+words)))
	})
}

// leads waits until there is a way.
func (f follower) leads(url, token, notice string) {
	f.t.Helper()
	f.s.eventually(url, func() error {
		e, err := f.Endpoint(f.t.Context())
		if err == nil && e.URL == url && e.Token == token && e.Notice.Reason == notice {
			return nil
		}
		return fmt.Errorf("got %+v, %w", e, errors.Join(err, errors.New("want "+token+" "+notice)))
	})
}

// page is a block of docs/kubernetes.md.
func page(t *testing.T, title string) string {
	t.Helper()
	raw, err := os.ReadFile(root + "/docs/kubernetes.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```yaml title=" + regexp.QuoteMeta(title) + "\n(.*?)```").FindStringSubmatch(string(raw))
	if m == nil {
		t.Fatalf("docs/kubernetes.md shows no %s", title)
	}
	return m[1]
}

const (
	headReady = `{"status": {"head": {"serviceIP": "10.96.0.9", "serviceName": "prod-head-svc"}, "endpoints": {"dashboard": "8265"}, "conditions": [%s
		{"type": "HeadPodReady", "status": %q, "reason": "HeadPodRunningAndReady", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}`
	condition = `{"type": %q, "status": "True", "reason": %q, "message": "so it is", "lastTransitionTime": "2026-01-01T00:00:00Z"},`
	direct    = "http://10.96.0.9:8265"
)

// ready is a status as KubeRay writes it, with further conditions that are true.
func ready(head string, conditions ...string) string {
	var more string
	for _, c := range conditions {
		more += fmt.Sprintf(condition, c, c)
	}
	return fmt.Sprintf(headReady, more, head)
}

func followsACluster(t *testing.T, s *server) {
	s.must("helm", "install", "dynctl", root+"/deploy/helm/dynctl", "-n", "ml", "--set", "ray.cluster=prod,ray.auth.mode=token")
	defer s.must("helm", "uninstall", "dynctl", "-n", "ml")
	f := s.follow(t, ray.Target{Namespace: "ml", Cluster: "prod"})
	f.says(actors.RayClusterNotFound, "--raycluster")
	s.must("kubectl", "-n", "ml", "create", "-f", s.file("raycluster.yaml", page(t, "raycluster.yaml")))
	f.says(actors.RayClusterNotReady, "HeadPodReady")
	s.merge("raycluster/prod", "status", ready("True"))
	f.says(actors.RayTokenMissing, "Secret ml/prod does not exist")
	s.must("kubectl", "-n", "ml", "create", "secret", "generic", "prod", "--from-literal=auth_token=one")
	f.leads(direct, "one", "")
	s.merge("secret/prod", "", `{"stringData": {"auth_token": "two"}}`)
	f.leads(direct, "two", "")
	s.merge("raycluster/prod", "status", ready("True", "ReplicaFailure"))
	f.leads(direct, "two", actors.RayReplicaFailure)
	s.merge("raycluster/prod", "", `{"spec": {"suspend": true}}`)
	f.says(actors.RayClusterSuspending, "deleted")
	s.merge("raycluster/prod", "status", ready("False", "RayClusterSuspended"))
	f.says(actors.RayClusterSuspended, "spec.suspend")
	s.merge("raycluster/prod", "", `{"spec": {"suspend": false}}`)
	f.says(actors.RayClusterNotReady, "resumed")
	s.merge("raycluster/prod", "status", ready("True"))
	f.leads(direct, "two", "")
	s.leastRights(t, f)
	s.throughTheProxy(t)
	s.must("kubectl", "-n", "ml", "delete", "secret", "prod")
	f.says(actors.RayTokenMissing, "does not exist")
	s.must("kubectl", "-n", "ml", "delete", "raycluster", "prod")
	f.says(actors.RayClusterNotFound, "ml/prod")
}

func (s *server) file(name, content string) string {
	s.write(name, content)
	return s.path(name)
}

// leastRights: the account may read its RayCluster and its Secret, and nothing beside.
func (s *server) leastRights(t *testing.T, f follower) {
	may := func(verb, what string) bool {
		out, _ := s.try("kubectl", "auth", "can-i", verb, what, "-n", "ml", "--as", "system:serviceaccount:ml:dynctl")
		return strings.TrimSpace(out) == "yes"
	}
	for _, what := range []string{"rayclusters.ray.io/prod", "secrets/prod"} {
		for _, verb := range []string{"get", "list", "watch"} {
			if !may(verb, what) {
				t.Errorf("the account may not %s %s", verb, what)
			}
		}
		if may("update", what) || may("delete", what) {
			t.Errorf("the account may change %s", what)
		}
	}
	for _, what := range []string{"rayclusters.ray.io", "rayclusters.ray.io/other", "secrets", "secrets/other", "pods", "services/proxy"} {
		if may("get", what) {
			t.Errorf("the account may get %s", what)
		}
	}
	other := s.follow(t, ray.Target{Namespace: "ml", Cluster: "other"})
	other.says(actors.KubernetesUnreadable, "rayclusters.ray.io")
}

// throughTheProxy: what the API server refuses itself is told as its own, for want of a
// right first and then for want of a head.
func (s *server) throughTheProxy(t *testing.T) {
	check := func(kubeconfig string) error {
		t.Setenv("KUBECONFIG", kubeconfig)
		kube, err := ray.DialKube("")
		if err != nil {
			t.Fatal(err)
		}
		kube.Dial = func(context.Context, string) error { return errors.New("no route") }
		r := ray.NewRayCluster(kube, ray.Target{Namespace: "ml", Cluster: "prod"})
		e, err := r.Endpoint(t.Context())
		if err != nil || e.Notice.Reason != actors.RayClusterOutside || !strings.HasPrefix(e.URL, s.url+"/api/v1/namespaces/ml/services/prod-head-svc:dashboard/proxy") {
			t.Fatalf("got %+v, %v", e, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err = ray.Check(ctx, r, "")
		return err
	}
	err := check(s.path("reconciler.kubeconfig"))
	if found := ray.Trouble(err); !errors.Is(err, ray.ErrUnreachable) || found.Reason != actors.KubernetesUnreadable || !strings.Contains(found.String(), "services/proxy") {
		t.Errorf("without the right: %v", err)
	}
	err = check(s.kubeconfig)
	if found := ray.Trouble(err); !errors.Is(err, ray.ErrUnreachable) || errors.Is(err, ray.ErrNoJob) || found.Reason != "" || !strings.Contains(err.Error(), "prod-head-svc") {
		t.Errorf("without a head: %v", err)
	}
}

const rayCluster = `{"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": {"name": %q, "namespace": "ml"}, "spec": {"rayVersion": "2.60.0",
	"authOptions": {"mode": "token", "secretName": "chat-ray-token"},
	"headGroupSpec": {"rayStartParams": {}, "template": {"spec": {"containers": [{"name": "head", "image": "ray"}]}}}}}`

const rayService = `{"apiVersion": "ray.io/v1", "kind": "RayService", "metadata": {"name": "chat", "namespace": "ml"}, "spec": {"rayClusterDeletionDelaySeconds": 900,
	"rayClusterConfig": {"rayVersion": "2.60.0", "headGroupSpec": {"rayStartParams": {}, "template": {"spec": {"containers": [{"name": "head", "image": "ray"}]}}}}}}`

func followsAService(t *testing.T, s *server) {
	s.must("helm", "install", "dynctl", root+"/deploy/helm/dynctl", "-n", "ml", "-f", root+"/deploy/helm/examples/rayservice.yaml")
	defer s.must("helm", "uninstall", "dynctl", "-n", "ml")
	s.must("kubectl", "-n", "ml", "create", "secret", "generic", "chat-ray-token", "--from-literal=auth_token=of-chat")
	f := s.follow(t, ray.Target{Namespace: "ml", Service: "chat"})
	f.says(actors.RayClusterNotFound, "--rayservice")
	s.create(rayService)
	f.says(actors.RayClusterNotReady, "no active cluster")
	for name, ip := range map[string]string{"chat-a": "10.96.0.9", "chat-b": "10.96.0.10"} {
		s.create(fmt.Sprintf(rayCluster, name))
		s.merge("raycluster/"+name, "status", strings.ReplaceAll(ready("True"), "10.96.0.9", ip))
	}
	serves := func(active, pending string) {
		s.merge("rayservice/chat", "status", fmt.Sprintf(`{"status": {"activeServiceStatus": {"rayClusterName": %q}, "pendingServiceStatus": {"rayClusterName": %q}}}`, active, pending))
	}
	serves("chat-a", "")
	f.leads(direct, "of-chat", "")
	serves("chat-a", "chat-b")
	f.leads(direct, "of-chat", actors.RayServiceSwitching)
	serves("chat-b", "")
	f.leads("http://10.96.0.10:8265", "of-chat", "")
	s.must("kubectl", "-n", "ml", "delete", "raycluster", "chat-a")
	f.leads("http://10.96.0.10:8265", "of-chat", "")
	s.must("kubectl", "-n", "ml", "delete", "raycluster", "chat-b")
	f.says(actors.RayClusterNotFound, "ml/chat-b")
}
