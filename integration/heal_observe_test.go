//go:build integration

package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"dynctl/deploy/local"
	"dynctl/state"
	credential "dynctl/state/kv/local"
)

// observed reads one value of the agent's bucket: it holds times that dynctl does
// not show. It reports whether the key is there.
func (e *Env) observed(t *testing.T, key string, into any) bool {
	t.Helper()
	nc, err := nats.Connect(e.natsURL(), credential.Options(e.natsURL())...)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	bucket, err := js.KeyValue(t.Context(), "dynctl_observed")
	if err != nil {
		t.Fatal(err)
	}
	entry, err := bucket.Get(t.Context(), key)
	if err != nil {
		return false
	}
	decode(t, string(entry.Value()), into)
	return true
}

// Agent is the agent in charge.
func (e *Env) Agent(t *testing.T) (a state.Agent) {
	t.Helper()
	if !e.observed(t, "agent", &a) {
		t.Fatal("no agent is in charge")
	}
	return a
}

// Observed is a unit as the agent reports it; the zero value when there is none.
func (s *Server) Observed(unit string) (u state.Unit) {
	s.t.Helper()
	s.Env.observed(s.t, "unit."+s.Name+"."+unit, &u)
	return u
}

// actor finds an actor of a unit by the end of its name.
func actor(u state.Unit, suffix string) state.Actor {
	for _, a := range u.Actors {
		if strings.HasSuffix(a.Name, suffix) {
			return a
		}
	}
	return state.Actor{}
}

// InfraActor is etcd ("ETCD"), NATS ("NATS") or the frontend ("Frontend").
func (s *Server) InfraActor(name string) state.Actor {
	s.t.Helper()
	return actor(s.Observed("infra"), "_Dynamo_"+name)
}

// Workers are the first actors of a model's units, by unit.
func (s *Server) Workers(model, role string) []state.Actor {
	s.t.Helper()
	var out []state.Actor
	for _, u := range s.UnitsOf(model, role) {
		if o := s.Observed(u.Unit); len(o.Actors) > 0 {
			out = append(out, o.Actors[0])
		}
	}
	return out
}

// AwaitAttempt waits until an actor of a unit runs an attempt of that number or a
// later one, and returns it.
func (s *Server) AwaitAttempt(unit, suffix string, number int, timeout time.Duration) (a state.Actor) {
	s.t.Helper()
	Eventually(s.t, timeout, fmt.Sprintf("%s of unit %s runs attempt %d", suffix, unit, number), func() bool {
		a = actor(s.Observed(unit), suffix)
		return a.Attempt >= number && a.State == state.UnitRunning
	})
	return a
}

// etcd opens the server's etcd, as the reconciler does.
func (s *Server) etcd() *clientv3.Client {
	s.t.Helper()
	return s.etcdAs(s.access())
}

func (s *Server) etcdAs(user, password string) *clientv3.Client {
	s.t.Helper()
	a := s.InfraActor("ETCD")
	c, err := clientv3.New(clientv3.Config{
		Endpoints: []string{fmt.Sprintf("%s:%d", a.IP, a.Ports["etcd"])}, DialTimeout: 10 * time.Second, Logger: zap.NewNop(),
		Username: user, Password: password,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// LeaseGone tells when the instance of a lease leaves Dynamo's etcd.
func (s *Server) LeaseGone(lease int64) <-chan time.Time {
	s.t.Helper()
	c := s.etcd()
	out := make(chan time.Time, 1)
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	changes := c.Watch(clientv3.WithRequireLeader(ctx), "v1/instances/", clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	<-changes
	go func() {
		defer c.Close()
		defer cancel()
		suffix := fmt.Sprintf("/%x", uint64(lease))
		for r := range changes {
			for _, ev := range r.Events {
				if ev.Type == clientv3.EventTypeDelete && strings.HasSuffix(string(ev.Kv.Key), suffix) {
					out <- time.Now()
					return
				}
			}
		}
	}()
	return out
}

// Leases are the leases of all instances in the server's etcd.
func (s *Server) Leases() map[int64]bool {
	s.t.Helper()
	c := s.etcd()
	defer c.Close()
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Second)
	defer cancel()
	r, err := c.Get(ctx, "v1/instances/", clientv3.WithPrefix())
	if err != nil {
		s.t.Fatal(err)
	}
	out := map[int64]bool{}
	for _, kv := range r.Kvs {
		out[kv.Lease] = true
	}
	return out
}

// processes are all of the environment.
func (e *Env) processes(t *testing.T) []local.Process {
	t.Helper()
	all, err := e.Stack.Processes()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Python runs a script of testdata against the environment's Ray and returns what
// it printed.
func (e *Env) Python(t *testing.T, script string, args ...string) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(e.cfg.Venv, "bin", "python"), append([]string{filepath.Join("testdata", script), fmt.Sprintf("127.0.0.1:%d", e.cfg.Ports.Ray)}, args...)...)
	cmd.Env = append(cmd.Environ(), "RAY_USAGE_STATS_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, stderrOf(err))
	}
	return strings.TrimSpace(string(out))
}

func stderrOf(err error) string {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return string(exit.Stderr)
	}
	return ""
}

// Decode reads the data of an event.
func (ev Event) Decode(t *testing.T) (d struct {
	Unit, Model, Generation, Reason, Message string
	Detail                                   json.RawMessage
}) {
	t.Helper()
	decode(t, string(ev.Data), &d)
	return d
}

// Reason is the reason of a condition of a model; empty while it has none.
func (s *Server) Reason(model, condition string) string {
	s.t.Helper()
	c, _ := s.status("model/" + model).Condition(condition)
	return c.Reason
}

// status is that of "model/NAME" or "server/NAME"; the zero value while there is none.
func (s *Server) status(ref string) *state.Status {
	s.t.Helper()
	kind, name, _ := strings.Cut(ref, "/")
	var items []struct {
		Server string        `json:"server"`
		Status *state.Status `json:"status"`
	}
	out, _, code := s.Env.Exec(s.t, "", "get", kind+"s", name, "--server", s.Name, "-o", "json")
	if code == 0 {
		decode(s.t, out, &items)
	}
	for _, i := range items {
		if i.Status != nil && (i.Server == s.Name || i.Server == "") {
			return i.Status
		}
	}
	return &state.Status{}
}

// within reports a measured time and wants it to be short.
func within(t *testing.T, what string, took, limit time.Duration) {
	t.Helper()
	t.Logf("measured: %s: %s", what, took.Round(time.Millisecond))
	if took > limit {
		t.Errorf("%s took %s, more than %s", what, took, limit)
	}
}
