//go:build integration

package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dynctl/deploy/local"
	"dynctl/state"
)

// Server is one server of an environment, for one test.
type Server struct {
	Env  *Env
	Name string
	Port int // of the frontend
	t    *testing.T
}

// Unit is an item of `dynctl get units -o json`.
type Unit struct {
	Unit           string      `json:"unit"`
	Server         string      `json:"server"`
	Model          string      `json:"model"`
	Role           string      `json:"role"`
	Replica        int         `json:"replica"`
	Generation     string      `json:"generation"`
	State          string      `json:"state"`
	Node           string      `json:"node"`
	PlacementGroup string      `json:"placementGroup"`
	Actors         []UnitActor `json:"actors"`
}

// UnitActor is an actor of a [Unit].
type UnitActor struct {
	Name     string         `json:"name"`
	State    string         `json:"state"`
	PID      int            `json:"pid"`
	ChildPID int            `json:"childPid"`
	Attempt  int            `json:"attempt"`
	Ports    map[string]int `json:"ports"`
	Lease    int64          `json:"lease"`
}

// Event is a CloudEvent of the stream.
type Event struct {
	ID      string          `json:"id"`
	Type    string          `json:"type"`
	Subject string          `json:"subject"`
	Time    time.Time       `json:"time"`
	Data    json.RawMessage `json:"data"`
}

// NewServer declares a server on a free port. At the end of the test it is
// deleted with its models, and nothing of it may be left.
func (e *Env) NewServer(t *testing.T, spec ...string) *Server {
	t.Helper()
	s := e.nameServer(t)
	t.Cleanup(s.remove)
	s.declare(spec...)
	return s
}

// nameServer chooses a name and a port; nothing is declared yet.
func (e *Env) nameServer(t *testing.T) *Server {
	t.Helper()
	t.TempDir() // as Start does: the server's processes may write into a later one until it is removed
	ports, err := local.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	e.servers++
	return &Server{Env: e, Name: fmt.Sprintf("it%s-%d", e.suffix, e.servers), Port: ports[0], t: t}
}

// declare writes the spec of the server.
func (s *Server) declare(spec ...string) {
	s.t.Helper()
	s.Set(s.document(spec...))
}

// document is the spec of the server. Lines are added to it.
func (s *Server) document(spec ...string) string {
	return fmt.Sprintf("apiVersion: dynctl/v1alpha1\nkind: Server\nmetadata: {name: %s}\nspec:\n  frontend: {port: %d}\n%s",
		s.Name, s.Port, indent(spec))
}

func indent(lines []string) string {
	var out strings.Builder
	for _, l := range lines {
		out.WriteString("  " + strings.ReplaceAll(l, "\n", "\n  ") + "\n")
	}
	return out.String()
}

// Mocker is an aggregated model of the server. Lines are added to its spec.
func (s *Server) Mocker(name string, replicas int, lines ...string) string {
	return s.model(name, append(lines, fmt.Sprintf("replicas: %d", replicas)))
}

// MockerDisagg is a disaggregated model of the server. Lines are added to its spec.
func (s *Server) MockerDisagg(name string, prefill, decode int, lines ...string) string {
	return s.model(name, append(lines, "mode: disagg", fmt.Sprintf("prefill: {replicas: %d}\ndecode: {replicas: %d}", prefill, decode)))
}

func (s *Server) model(name string, lines []string) string {
	return fmt.Sprintf("---\napiVersion: dynctl/v1alpha1\nkind: Model\nmetadata: {name: %s, server: %s}\nspec:\n  model: %s\n  servedName: %s\n  engine: mocker\n%s",
		name, s.Name, tinyModel, name, indent(lines))
}

// Set declares documents.
func (s *Server) Set(documents ...string) {
	s.t.Helper()
	s.Env.run(s.t, strings.Join(documents, "\n"), "set", "-")
}

// Delete deletes objects, such as "model/NAME".
func (s *Server) Delete(refs ...string) {
	s.t.Helper()
	s.Dynctl(append([]string{"delete"}, refs...)...)
}

// Wait waits for a condition of a model ("Ready", "Ready=False", "deleted").
func (s *Server) Wait(model, condition string, timeout time.Duration) {
	s.t.Helper()
	s.Dynctl("wait", "model/"+model, "--for", condition, "--timeout", timeout.String())
}

// Dynctl runs dynctl for this server and returns its standard output; any exit
// code but 0 fails the test.
func (s *Server) Dynctl(args ...string) string {
	s.t.Helper()
	return s.Env.run(s.t, "", append(args, "--server", s.Name)...)
}

// Status is the status of a model.
func (s *Server) Status(model string) state.Status {
	s.t.Helper()
	var items []struct {
		Server string        `json:"server"`
		Status *state.Status `json:"status"`
	}
	decode(s.t, s.Dynctl("get", "models", model, "-o", "json"), &items)
	for _, i := range items {
		if i.Server == s.Name && i.Status != nil {
			return *i.Status
		}
	}
	s.t.Fatalf("model %s of server %s has no status", model, s.Name)
	return state.Status{}
}

// Units are the units of this server, by id.
func (s *Server) Units() []Unit {
	s.t.Helper()
	var all, out []Unit
	decode(s.t, s.Env.run(s.t, "", "get", "units", "-o", "json"), &all)
	for _, u := range all {
		if u.Server == s.Name {
			out = append(out, u)
		}
	}
	return out
}

// UnitsOf are the units of one model in a role ("" for aggregated).
func (s *Server) UnitsOf(model, role string) []Unit {
	s.t.Helper()
	var out []Unit
	for _, u := range s.Units() {
		if u.Model == model && (u.Role == role || role == "" && u.Role == "aggregated") {
			out = append(out, u)
		}
	}
	return out
}

// Events are all stored events of this server, of some types if given.
func (s *Server) Events(types ...string) []Event {
	s.t.Helper()
	args := []string{"events", "--last", "0", "-o", "json"}
	if len(types) > 0 {
		args = append(args, "--type", strings.Join(types, ","))
	}
	var out []Event
	for line := range strings.Lines(s.Dynctl(args...)) {
		var e Event
		decode(s.t, line, &e)
		out = append(out, e)
	}
	return out
}

// remove deletes the server and its models and waits until nothing is left.
func (s *Server) remove() {
	if s.t.Failed() {
		s.tell()
	}
	var pids []int
	for _, u := range s.Units() {
		for _, a := range u.Actors {
			pids = append(pids, a.PID, a.ChildPID)
		}
	}
	var models []struct{ Name, Server string }
	decode(s.t, s.Dynctl("get", "models", "-o", "json"), &models)
	for _, m := range models {
		if m.Server == s.Name {
			s.Delete("model/" + m.Name)
		}
	}
	s.Delete("server/" + s.Name)
	Eventually(s.t, 3*time.Minute, "no unit of server "+s.Name, func() bool { return len(s.Units()) == 0 })
	RequireGone(s.t, pids...)
}

// tell logs how the server stands and how it came to that, for a test that failed: its
// logs alone do not say what waited for what.
func (s *Server) tell() {
	for _, args := range [][]string{
		{"status", "--server", s.Name},
		{"get", "units", "--server", s.Name},
		{"get", "nodes"},
		{"events", "--server", s.Name, "-n", "60"},
	} {
		stdout, stderr, _ := s.Env.Exec(s.t, "", args...)
		s.t.Logf("dynctl %s\n%s%s", strings.Join(args, " "), stdout, stderr)
	}
}

// Exec runs dynctl in the environment and returns what it wrote and its exit code.
func (e *Env) Exec(t *testing.T, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.Command(filepath.Join(e.cfg.Bin, "dynctl"), args...)
	cmd.Env = append(os.Environ(), "DYNCTL_NATS_URL="+e.natsURL(), "NO_COLOR=1")
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func (e *Env) run(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	stdout, stderr, code := e.Exec(t, stdin, args...)
	if code != 0 {
		t.Fatalf("dynctl %s: exit code %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout
}

func decode(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
}
