//go:build integration

package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// access is what the agent tells the reconciler, and an admin, of the server's etcd.
func (s *Server) access() (user, password string) {
	s.t.Helper()
	nc, _ := s.Env.connect(s.t)
	var told struct{ User, Password, Error string }
	Eventually(s.t, backIn, "the agent tells the credential of etcd", func() bool {
		answer, err := nc.Request("dynctl.agent.access", fmt.Appendf(nil, `{"server": %q}`, s.Name), 5*time.Second)
		return err == nil && json.Unmarshal(answer.Data, &told) == nil && told.Error == ""
	})
	return told.User, told.Password
}

// requireClosed wants the server's etcd and NATS to let in nobody without their credentials,
// which stand nowhere but in two files and in the environments of their processes.
func (s *Server) requireClosed() {
	s.t.Helper()
	t := s.t
	stranger := s.etcdAs("", "")
	defer stranger.Close()
	if _, err := stranger.Get(t.Context(), "v1/", clientv3.WithPrefix()); !errors.Is(err, rpctypes.ErrUserEmpty) {
		t.Errorf("etcd answers a stranger %v, want %v", err, rpctypes.ErrUserEmpty)
	}
	known := s.etcd()
	defer known.Close()
	if r, err := known.Get(t.Context(), "v1/instances/", clientv3.WithPrefix()); err != nil || len(r.Kvs) == 0 {
		t.Errorf("etcd answers whom it knows %v, %v", r, err)
	}

	server := s.InfraActor("NATS")
	url := fmt.Sprintf("nats://%s:%d", server.IP, server.Ports["nats"])
	if nc, err := nats.Connect(url, nats.Timeout(10*time.Second)); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("NATS answers a stranger %v, want %v", err, nats.ErrAuthorization)
		if err == nil {
			nc.Close()
		}
	}
	env := environment(t, s.InfraActor("Frontend").ChildPID)
	nc, err := nats.Connect(url, nats.UserInfo(env["NATS_AUTH_USERNAME"], env["NATS_AUTH_PASSWORD"]), nats.Timeout(10*time.Second))
	if err != nil {
		t.Fatalf("NATS answers whom it knows %v", err)
	}
	nc.Close()
	for _, actor := range []string{"ETCD", "NATS"} {
		a := s.InfraActor(actor)
		if line := strings.Join(commandLine(t, a.ChildPID), " "); strings.Contains(line, "0.0.0.0") || !strings.Contains(line, a.IP) {
			t.Errorf("%s is executed as %s, want it to listen on %s alone", actor, line, a.IP)
		}
	}
	s.requireHidden(env["ETCD_AUTH_PASSWORD"], env["NATS_AUTH_PASSWORD"])
}

// requireHidden looks for secrets where somebody else could read them: in command lines, in
// the files of the spec store, and in those of the Ray session.
func (s *Server) requireHidden(secrets ...string) {
	s.t.Helper()
	t := s.t
	found := func(where string) {
		data, err := os.ReadFile(where)
		if err != nil {
			return // it has ended
		}
		for _, secret := range secrets {
			if len(secret) < 32 {
				t.Fatalf("%q is no secret", secret)
			}
			if bytes.Contains(data, []byte(secret)) {
				t.Errorf("a credential stands in %s", where)
			}
		}
	}
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		found(line)
	}
	own := []string{"etcd_access_data", "nats_access_data", "nats_config_data"}
	session, err := filepath.EvalSymlinks(filepath.Join(s.Env.Stack.TempDir(), "session_latest"))
	if err != nil {
		t.Fatal(err)
	}
	for _, root := range []string{session, s.Env.cfg.DataDir} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return nil // gone meanwhile
			case d.Type().IsRegular() && !slices.Contains(own, d.Name()):
				found(path)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
