//go:build integration

package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// TestNewPasswordsWithoutAFailedRequest: the way to other passwords of the data plane while
// requests are served. Processes keep what they were executed with, so a second server with
// the same model takes over, and the first one goes with its passwords.
func TestNewPasswordsWithoutAFailedRequest(t *testing.T) {
	e := Shared(t)
	old, kept := e.nameServer(t), true
	t.Cleanup(func() {
		if kept {
			old.remove()
		}
	})
	old.declare()
	old.Set(old.Mocker("plain", 1))
	old.Wait("plain", "Ready", readyIn)
	user, password := old.access()
	clients := old.Traffic("plain")
	clients.Flow(20)

	s := e.NewServer(t)
	s.Set(s.Mocker("plain", 1))
	s.Wait("plain", "Ready", readyIn)
	moved := s.Traffic("plain")
	moved.Flow(20)
	clients.Flow(20)
	clients.Stop().RequireNone(t)

	kept = false
	old.remove()
	moved.Flow(20)
	moved.Stop().RequireNone(t)
	if _, now := s.access(); now == password {
		t.Error("two servers have one password")
	}
	a := s.InfraActor("ETCD")
	_, err := clientv3.New(clientv3.Config{
		Endpoints: []string{fmt.Sprintf("%s:%d", a.IP, a.Ports["etcd"])}, DialTimeout: 10 * time.Second, Logger: zap.NewNop(),
		Username: user, Password: password,
	})
	if err == nil || !strings.Contains(err.Error(), "authentication failed") {
		t.Errorf("the old password at the new etcd: %v", err)
	}
}
