//go:build integration

package integration

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	credential "dynctl/state/kv/local"
)

var kept struct {
	sync.Mutex
	server *Server
}

// serving is a server of the shared environment with one ready worker of the
// aggregated model "plain". Tests share it: they leave it as they found it.
func serving(t *testing.T) *Server {
	t.Helper()
	kept.Lock()
	defer kept.Unlock()
	if kept.server == nil {
		s := Shared(t).nameServer(t)
		s.declare()
		s.Set(s.Mocker("plain", 1))
		s.Wait("plain", "Ready", readyIn)
		kept.server = s
	}
	s := *kept.server
	s.t = t
	return &s
}

// add declares a model of the server for the time of a test and waits until it
// is ready.
func (s *Server) add(name, document string) {
	s.t.Helper()
	s.Set(document)
	s.t.Cleanup(func() {
		if slices.ContainsFunc(s.Units(), func(u Unit) bool { return u.Model == name }) {
			s.Delete("model/" + name)
			s.Wait(name, "deleted", time.Minute)
		}
	})
	s.Wait(name, "Ready", readyIn)
}

// execution is what a restart of a process would change.
type execution struct{ PID, ChildPID, Attempt int }

// executions are those of the units of some models ("" for infra), by actor.
func (s *Server) executions(models ...string) map[string]execution {
	s.t.Helper()
	out := map[string]execution{}
	for _, u := range s.Units() {
		if !slices.Contains(models, u.Model) {
			continue
		}
		for _, a := range u.Actors {
			out[a.Name] = execution{a.PID, a.ChildPID, a.Attempt}
		}
	}
	if len(out) == 0 {
		s.t.Fatalf("no unit of %q runs", models)
	}
	return out
}

// requireNoRestart wants the same processes in the same attempts, alive.
func requireNoRestart(t *testing.T, before, after map[string]execution) {
	t.Helper()
	if !maps.Equal(before, after) {
		t.Errorf("something was restarted:\nbefore %v\nafter  %v", before, after)
	}
	for name, x := range before {
		if !Alive(x.PID) || !Alive(x.ChildPID) {
			t.Errorf("%s: actor %d alive %v, process %d alive %v", name, x.PID, Alive(x.PID), x.ChildPID, Alive(x.ChildPID))
		}
	}
}

// requireNoFailure wants a load to have flowed, without a failed request.
func requireNoFailure(t *testing.T, r LoadResult) {
	t.Helper()
	t.Logf("measured: %d requests, %d failed, longest gap %s", r.OK+r.Failed, r.Failed, r.Gap.Round(time.Millisecond))
	if r.Failed > 0 || r.OK < 20 {
		t.Errorf("%d answers and %d failures: %s", r.OK, r.Failed, strings.Join(r.Errors, "; "))
	}
}

// requireOnlyLate wants a load to have flowed while so many workers of one of several were
// killed with the request plane nats: Dynamo takes its time for what was on the wire to
// them (docs/dynamo.md, "When a worker is killed"), and everything is answered.
func requireOnlyLate(t *testing.T, r LoadResult, deaths int) {
	t.Helper()
	t.Logf("measured: %d requests, %d failed, %d of them answered after %s, longest gap %s", r.OK+r.Failed, r.Failed, r.Late, natsTimeout, r.Gap.Round(time.Millisecond))
	if r.Failed > r.Late || r.Late > deaths*onTheWire || r.OK < 20 {
		t.Errorf("%d answers and %d failures, %d of them late: %s", r.OK, r.Failed, r.Late, strings.Join(r.Errors, "; "))
	}
}

// connect opens the spec store as any other program of this machine's user would.
func (e *Env) connect(t *testing.T) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	return e.connectWith(t, credential.Options(e.natsURL())...)
}

// connectAs opens it with the credential of one of the users that it has from its start.
func (e *Env) connectAs(t *testing.T, user string) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	login, err := nats.NkeyOptionFromSeed(filepath.Join(e.cfg.DataDir, "creds", user+".nk"))
	if err != nil {
		t.Fatal(err)
	}
	return e.connectWith(t, login)
}

func (e *Env) connectWith(t *testing.T, login ...nats.Option) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc, err := nats.Connect(e.natsURL(), login...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return nc, js
}

// fact is the data of an event that tests look at.
type fact struct {
	Model        string          `json:"model"`
	Unit         string          `json:"unit"`
	SpecRevision uint64          `json:"specRevision"`
	Epoch        uint64          `json:"epoch"`
	Reason       string          `json:"reason"`
	Message      string          `json:"message"`
	Detail       json.RawMessage `json:"detail"`
	at           time.Time
}

// facts are the stored events of one type that concern this server.
func (s *Server) facts(typ string) []fact {
	s.t.Helper()
	var out []fact
	for _, e := range s.Events(typ) {
		var f fact
		decode(s.t, string(e.Data), &f)
		f.at = e.Time
		out = append(out, f)
	}
	return out
}

// rayRow is a row of Ray's State API.
type rayRow struct {
	Name      string `json:"name"`
	State     string `json:"state"`
	PID       int    `json:"pid"`
	Namespace string `json:"ray_namespace"`
}

// rayState asks Ray's dashboard for "actors" or "placement_groups" whose name
// begins with a prefix.
func (e *Env) rayState(t *testing.T, what, prefix string) []rayRow {
	t.Helper()
	resp, err := http.Get(e.Stack.DashboardURL() + "/api/v0/" + what + "?limit=10000&detail=1")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Data struct {
			Result struct {
				Total  int      `json:"total"`
				Result []rayRow `json:"result"`
			} `json:"result"`
		} `json:"data"`
	}
	decode(t, string(body), &answer)
	if got := answer.Data.Result; got.Total != len(got.Result) {
		t.Fatalf("Ray lists %d of %d %s", len(got.Result), got.Total, what)
	}
	return slices.DeleteFunc(answer.Data.Result.Result, func(r rayRow) bool { return !strings.HasPrefix(r.Name, prefix) })
}

// commandLine is the argv of a process.
func commandLine(t *testing.T, pid int) []string {
	t.Helper()
	return strings.Split(strings.TrimSuffix(procFile(t, pid, "cmdline"), "\x00"), "\x00")
}

// environment is the environment of a process.
func environment(t *testing.T, pid int) map[string]string {
	t.Helper()
	out := map[string]string{}
	for v := range strings.SplitSeq(strings.TrimSuffix(procFile(t, pid, "environ"), "\x00"), "\x00") {
		name, value, _ := strings.Cut(v, "=")
		out[name] = value
	}
	return out
}

func procFile(t *testing.T, pid int, name string) string {
	t.Helper()
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// condition is a condition of a model.
func (s *Server) condition(model, typ string) string {
	s.t.Helper()
	st := s.Status(model)
	c, _ := st.Condition(typ)
	return fmt.Sprintf("%s %s", c.Status, c.Reason)
}
