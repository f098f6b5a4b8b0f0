//go:build kube

package kube

import (
	"fmt"
	"maps"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestLive is the story of a fleet on a RayCluster: a real API server, the chart's account,
// a real reconciler, and real Rays with token authentication in the places of its pods. The
// test writes what KubeRay would.
func TestLive(t *testing.T) {
	s := startServer(t)
	rays := filepath.Join(module(t, "github.com/ray-project/kuberay/ray-operator"), "config/crd/bases")
	for _, crd := range []string{"rayclusters", "rayservices"} {
		s.must("kubectl", "create", "-f", rays+"/ray.io_"+crd+".yaml")
	}
	s.must("kubectl", "create", "namespace", "ml")
	s.eventually("the definitions are served", func() error { _, err := s.try("kubectl", "get", "rayclusters,rayservices", "-A"); return err })
	s.must("helm", "install", "dynctl", root+"/deploy/helm/dynctl", "-n", "ml", "--set", "ray.cluster=prod,ray.auth.mode=token")
	s.must("kubectl", "-n", "ml", "create", "-f", s.file("raycluster.yaml", page(t, "raycluster.yaml")))
	port, err := strconv.Atoi(freePort(t))
	if err != nil {
		t.Fatal(err)
	}
	l := &live{server: s, pod: s.newPod(), port: port}
	l.pod.start("pod-1", "--raycluster", "ml/prod")
	l.served(t)
	l.rotatesTheToken(t)
	l.movesTheHead(t)
	l.suspends(t)
	l.replacesThePod(t)
	l.switchesTheService(t)
}

// live is the fleet of the story.
type live struct {
	*server
	pod  *pod
	head *head
	port int // of the frontend
}

// place has the RayCluster's status name a head.
func (l *live) place(h *head) {
	l.head = h
	l.merge("raycluster/prod", "status", h.status())
}

// served: from a RayCluster that has no head to the first answer.
func (l *live) served(t *testing.T) {
	l.pod.says("503", "RayClusterNotReady")
	l.pod.declare(l.port)
	h := l.startHead("first", "one")
	l.place(h)
	l.pod.says("503", "RayTokenMissing", "Secret ml/prod")
	l.must("kubectl", "-n", "ml", "create", "secret", "generic", "prod", "--from-literal=auth_token=wrong")
	l.pod.says("503", "RayTokenRefused", "Secret ml/prod")
	l.merge("secret/prod", "", `{"stringData": {"auth_token": "one"}}`)
	began := time.Now()
	l.pod.says("200")
	l.took("the token put right, until the agent is in charge", began)
	l.pod.served(l.port)
	l.took("the same, until the model has answered", began)
	// Ray's nodes have neither etcd nor nats-server, and nobody has said where they are.
	if said := l.pod.dynctl("", "doctor"); !strings.Contains(strings.Join(strings.Fields(said), " "), "brought there by the reconciler") {
		t.Errorf("doctor does not say where etcd and nats-server are from:\n%s", said)
	}
}

// rotatesTheToken: Ray never looks at its token again, so a Secret that changes is refused
// until its pods are made anew; what runs goes on and heals, for that needs no dashboard.
func (l *live) rotatesTheToken(t *testing.T) {
	before := l.pod.executions()
	tr := startTraffic(l.port)
	l.merge("secret/prod", "", `{"stringData": {"auth_token": "two"}}`)
	l.pod.says("RayTokenRefused", "Secret ml/prod")
	l.pod.healsAWorker(l.port)
	tr.stop(l.server, "the Secret has another token than Ray")
	if after := l.pod.executions(); len(after) != len(before) {
		t.Errorf("before %v\nafter %v", before, after)
	}
	l.merge("raycluster/prod", "status", away())
	l.head.end(t)
	l.pod.says("RayClusterNotReady")
	next := l.startHead("rotated", "two")
	began := time.Now()
	l.place(next)
	l.pod.served(l.port)
	l.took("the head made anew with the other token, until the model has answered", began)
}

// movesTheHead: the status names another Ray while the one before still runs. That is left
// alone: its agent ends and stops nothing. The port of the frontend is taken on the one
// machine that both share, until the old Ray is gone.
func (l *live) movesTheHead(t *testing.T) {
	old := l.head
	next := l.startHead("moved", "two")
	runs := alive(t, old)
	tr := startTraffic(l.port)
	l.place(next)
	began := time.Now()
	l.eventually("the old agent has ended", func() error { return l.noAgent(old) })
	l.took("another head in the status, until its agent is in charge", began)
	tr.stop(l.server, "the head has moved and the old one still runs")
	if after := alive(t, old); !maps.Equal(after, runs) {
		t.Errorf("the old Ray ran %v\nand runs %v", runs, after)
	}
	old.end(t)
	began = time.Now()
	l.pod.served(l.port)
	l.took("the old head gone, until the model has answered at the new one", began)
}

// suspends: Kueue, or a person, takes the pods away and gives them back. Nothing of that
// counts as a failure of what ran.
func (l *live) suspends(t *testing.T) {
	l.merge("raycluster/prod", "", `{"spec": {"suspend": true}}`)
	l.pod.says("RayClusterSuspending")
	l.head.end(t)
	l.merge("raycluster/prod", "status", away("RayClusterSuspended"))
	began := time.Now()
	l.pod.says("503", "RayClusterSuspended", "spec.suspend")
	l.took("the pods gone, until it is told", began)
	l.merge("raycluster/prod", "", `{"spec": {"suspend": false}}`)
	l.pod.says("RayClusterNotReady", "resumed")
	next := l.startHead("resumed", "two")
	began = time.Now()
	l.place(next)
	l.pod.served(l.port)
	l.took("resumed, until the model has answered", began)
	for name, x := range l.pod.executions() {
		if !strings.HasSuffix(x, ", attempt 1") {
			t.Errorf("%s runs as %s: a suspension counts as an exit of nothing", name, x)
		}
	}
}

// replacesThePod: another process, with another name and token of the account, has the
// store of the one before.
func (l *live) replacesThePod(t *testing.T) {
	before := l.pod.executions()
	tr := startTraffic(l.port)
	began := time.Now()
	l.pod.end()
	l.pod.start("pod-2", "--raycluster", "ml/prod")
	l.pod.says("200")
	l.took("the pod replaced, until the next one leads", began)
	tr.stop(l.server, "the pod was replaced")
	l.same(t, before)
}

func (l *live) same(t *testing.T, before map[string]string) {
	t.Helper()
	if after := l.pod.executions(); !maps.Equal(before, after) || len(after) == 0 {
		t.Errorf("something was restarted:\nbefore %v\nafter  %v", before, after)
	}
}

// switchesTheService: the RayCluster is the active one of a RayService, which makes
// another and switches to it. What serves in the old one serves until the new one does.
func (l *live) switchesTheService(t *testing.T) {
	l.must("helm", "upgrade", "dynctl", root+"/deploy/helm/dynctl", "-n", "ml", "--set", "ray.cluster=,ray.service=chat,ray.auth.mode=token,ray.auth.secretName=prod")
	l.create(rayService)
	l.serves("prod", "")
	before := l.pod.executions()
	l.pod.end()
	l.pod.start("pod-3", "--rayservice", "ml/chat")
	l.pod.says("200")
	l.same(t, before)

	old := l.head
	next := l.startHead("pending", "two")
	l.create(strings.ReplaceAll(fmt.Sprintf(rayCluster, "chat-b"), "chat-ray-token", "prod"))
	l.merge("raycluster/chat-b", "status", next.status())
	l.serves("prod", "chat-b")
	l.pod.says("200", "RayServiceSwitching", "chat-b")
	runs := alive(t, old)
	tr := startTraffic(l.port)
	began := time.Now()
	l.serves("chat-b", "")
	l.eventually("the old agent has ended", func() error { return l.noAgent(old) })
	other, err := strconv.Atoi(freePort(t))
	if err != nil {
		t.Fatal(err)
	}
	l.pod.declare(other) // two machines would have the same port twice
	l.pod.served(other)
	l.took("the service switched, until the model has answered in the new cluster", began)
	time.Sleep(35 * time.Second) // longer than a lease of Dynamo's
	tr.stop(l.server, "the service has switched, and the old cluster is still there")
	if after := alive(t, old); !maps.Equal(after, runs) {
		t.Errorf("the old Ray ran %v\nand runs %v", runs, after)
	}
	old.end(t)
	l.pod.served(other)
}

func (l *live) serves(active, pending string) {
	l.merge("rayservice/chat", "status", fmt.Sprintf(`{"status": {"activeServiceStatus": {"rayClusterName": %q}, "pendingServiceStatus": {"rayClusterName": %q}}}`, active, pending))
}
