//go:build kube

package kube

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dynctl/deploy/local"
)

// head is a real Ray of one node with token authentication, which stands for the pods of
// a RayCluster.
type head struct {
	*local.Stack
	dashboard int
}

// startHead starts one whose token is the given one; it ends with the test at the latest.
func (s *server) startHead(name, token string) *head {
	s.t.Helper()
	ports, err := local.FreePorts(5)
	if err != nil {
		s.t.Fatal(err)
	}
	tmp, err := os.MkdirTemp("/tmp", "dynctl-kube-")
	if err != nil {
		s.t.Fatal(err)
	}
	// A head takes its token from the environment, as KubeRay sets it, and never looks again.
	s.t.Setenv("RAY_AUTH_MODE", "token")
	s.t.Setenv("RAY_AUTH_TOKEN", token)
	cfg := local.Config{
		Bin: absolute(s.t, "bin"), Venv: venv(s.t), RunDir: s.path(name), DataDir: s.path(name + "/data"), TempDir: tmp,
		Nodes: 1, GPUs: 2, CPUs: 8, Progress: s.t.Output(),
		Ports: local.Ports{Ray: ports[0], Dashboard: ports[1], Client: ports[2], NATS: ports[3], HTTP: ports[4]},
	}
	stack, err := local.New(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	guard, err := local.StartGuard(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.tellAgents(tmp)
		}
		if err := guard.Close(); err != nil {
			s.t.Errorf("the guard of %s: %v", name, err)
		}
	})
	began := time.Now()
	if err := stack.StartRay(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	s.took("a Ray with token authentication started", began)
	return &head{stack, ports[1]}
}

// tellAgents shows the ends of the agents' logs.
func (s *server) tellAgents(tmp string) {
	logs, _ := filepath.Glob(tmp + "/session_latest/logs/job-driver-*.log") // none: Ray never came up
	for _, log := range logs {
		raw, _ := os.ReadFile(log)
		s.t.Logf("the end of %s:\n%s", log, raw[max(0, len(raw)-3000):])
	}
}

// end is what becomes of a Ray whose pods are deleted.
func (h *head) end(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := h.Stop(ctx); err != nil {
		t.Fatal(err)
	}
}

// status is that of a RayCluster whose head this is.
func (h *head) status() string {
	return fmt.Sprintf(`{"status": {"state": "ready", "head": {"serviceIP": "127.0.0.1", "serviceName": "prod-head-svc"}, "endpoints": {"dashboard": "%d"}, "conditions": [
		{"type": "HeadPodReady", "status": "True", "reason": "HeadPodRunningAndReady", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}`, h.dashboard)
}

// away is the status of a RayCluster whose head is not there, with further conditions that
// are true.
func away(conditions ...string) string { return ready("False", conditions...) }

func absolute(t *testing.T, path string) string {
	t.Helper()
	out, err := filepath.Abs(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func venv(t *testing.T) string {
	t.Helper()
	if other := os.Getenv("DYNCTL_VENV"); other != "" {
		return other
	}
	return absolute(t, ".venv")
}

// ownAddress is one of this machine that is not loopback: beside a RayCluster the agent
// counts as being elsewhere.
func ownAddress(t *testing.T) string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		if ip, ok := a.(*net.IPNet); ok && !ip.IP.IsLoopback() && ip.IP.To4() != nil {
			return ip.IP.String()
		}
	}
	t.Fatal("this machine has no IPv4 address but loopback: the agent could not be told one")
	return ""
}

// alive are the processes of Dynamo that run in a Ray, by pid.
func alive(t *testing.T, h *head) map[int]string {
	t.Helper()
	all, err := h.Processes()
	if err != nil {
		t.Fatal(err)
	}
	out := map[int]string{}
	for _, p := range all {
		if strings.Contains(p.Command, "-m dynamo.") || p.Name() == "etcd" || p.Name() == "nats-server" {
			out[p.PID] = p.Command
		}
	}
	if len(out) == 0 {
		t.Fatal("nothing of Dynamo runs")
	}
	return out
}

// noAgent wants that no agent runs in a Ray.
func (s *server) noAgent(h *head) error {
	all, err := h.Processes()
	for _, p := range all {
		if strings.Contains(p.Command, "-m dynctl_agent") {
			return fmt.Errorf("pid %d: %s", p.PID, p.Command)
		}
	}
	return err
}
