package local

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// ErrOptions means that a stack that runs was started with other options.
var ErrOptions = errors.New("it was started with other options")

// recordName is the file below a stack's temporary directory that holds what it was
// started with. It names no process: those are found by their mark, so that no
// number that is reused is ever taken for one.
const recordName = "dynctl-stack.json"

// Options of a stack, as `make` spells them. They are recorded when it is started.
type Options struct {
	Nodes int   `json:"NODES"`
	GPUs  int   `json:"GPUS"`
	CPUs  int   `json:"CPUS"`
	Ports Ports `json:"PORTS"`
	// Venv is the environment of its Python, which PYTHON chooses; empty in records of
	// older versions.
	Venv string `json:"VENV,omitempty"`
}

func (c Config) options() Options { return Options{c.Nodes, c.GPUs, c.CPUs, c.Ports, c.Venv} }

// values are the options by the make variable that sets each.
func (o Options) values() []option {
	return []option{
		{"NODES", o.Nodes},
		{"GPUS", o.GPUs},
		{"CPUS", o.CPUs},
		{"RAY_PORT", o.Ports.Ray},
		{"DASHBOARD_PORT", o.Ports.Dashboard},
		{"NATS_PORT", o.Ports.NATS},
		{"HTTP_PORT", o.Ports.HTTP},
	}
}

type option struct {
	variable string
	value    int
}

// Parts are what lives of a stack.
type Parts struct {
	// Processes are all of it, the reconciler among them.
	Processes []Process
	// Head reports whether Ray's head is whole: its GCS, dashboard and raylet. What has lost
	// GCS or raylet is a session that cannot be used any more.
	Head bool
	// NoDashboard: of the head the dashboard alone is missing. What runs goes on without it;
	// nothing new is begun.
	NoDashboard bool
	// Raylets are the nodes beside the head.
	Raylets int
	// Reconciler is its pid; 0 when it does not run.
	Reconciler int
}

// Look tells what lives of the stack with this temporary directory.
func Look(tempDir string) (Parts, error) {
	all, err := Processes(tempDir)
	if err != nil {
		return Parts{}, err
	}
	p := Parts{Processes: all}
	var gcs, dashboard, raylet bool
	for _, x := range all {
		switch words := strings.Fields(x.Command); {
		case x.Name() == "gcs_server":
			gcs = true
		case x.Name() == "raylet" && hasWord(words, "--head"):
			raylet = true
		case x.Name() == "raylet":
			p.Raylets++
		case x.Name() == "reconciler":
			p.Reconciler = x.PID
		case len(words) > 1 && strings.HasSuffix(words[1], "/dashboard/dashboard.py"):
			dashboard = true
		}
	}
	p.Head, p.NoDashboard = gcs && dashboard && raylet, gcs && raylet && !dashboard
	return p, nil
}

func hasWord(words []string, want string) bool {
	for _, w := range words {
		if w == want {
			return true
		}
	}
	return false
}

// Resume is the stack that lives below a temporary directory. given are the make
// variables that were set for this call: they must be what the stack was started
// with, or Resume fails with [ErrOptions] and changes nothing. All else is taken from
// the stack.
func Resume(cfg Config, given map[string]bool) (*Stack, error) {
	if err := checkTools(cfg); err != nil {
		return nil, err
	}
	was, err := readRecord(cfg.TempDir)
	if err != nil {
		return nil, err
	}
	now := cfg.options().values()
	var differ, with []string
	for i, x := range was.values() {
		if now[i].value != x.value && given[x.variable] {
			differ = append(differ, fmt.Sprintf("%s=%d", x.variable, now[i].value))
			with = append(with, fmt.Sprintf("%s=%d", x.variable, x.value))
		}
	}
	if was.Venv != "" && was.Venv != cfg.Venv && given["VENV"] {
		differ, with = append(differ, "the Python of "+cfg.Venv), append(with, "the Python of "+was.Venv)
	}
	if len(differ) > 0 {
		return nil, fmt.Errorf("%w: it runs with %s, and %s was asked for; `make up` without them starts what is missing, `make down` ends all of it first",
			ErrOptions, strings.Join(with, " "), strings.Join(differ, " "))
	}
	cfg.Nodes, cfg.GPUs, cfg.CPUs, cfg.Ports = was.Nodes, was.GPUs, was.CPUs, was.Ports
	cfg.Venv = cmp.Or(was.Venv, cfg.Venv)
	return &Stack{cfg: cfg, env: environ(cfg)}, nil
}

func readRecord(tempDir string) (Options, error) {
	var o Options
	path := filepath.Join(tempDir, recordName)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return o, fmt.Errorf("%w: %s, which says what it was started with, is gone; end it with `make down`", ErrRunning, path)
	} else if err != nil {
		return o, err
	}
	if err := json.Unmarshal(data, &o); err != nil {
		return o, fmt.Errorf("%w: %s: %w; end it with `make down`", ErrRunning, path, err)
	}
	return o, nil
}

func writeRecord(cfg Config) error {
	data, err := json.Marshal(cfg.options())
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(cfg.TempDir, recordName), data, 0o600)
}

// Complete starts what is missing beside parts and waits until the reconciler is
// ready. It says what it does; done reports whether there was anything to do. When
// it fails, what ran before goes on, and what it started is ended.
func (s *Stack) Complete(ctx context.Context, parts Parts, timeout time.Duration) (done bool, err error) {
	defer func() {
		if err != nil && s.reconciler != nil && parts.Reconciler == 0 {
			err = errors.Join(err, s.endReconciler(context.WithoutCancel(ctx)))
		}
	}()
	switch missing := s.missing(parts); {
	case parts.NoDashboard:
		return false, fmt.Errorf("ray: %w: nothing is started or healed without it, what serves goes on, and nothing was changed; "+
			"`make down` and then `make up` ends all of it and starts it anew: do that when the models may go away for half a minute", ErrDashboard)
	case !parts.Head:
		done = true
		s.progress("ray: its head has died, and its session with it: what is left of it is ended, and Ray restarted; the models start again by themselves")
		if err := s.restartRay(ctx); err != nil {
			return done, err
		}
	case missing > 0:
		done = true
		s.progress("ray: %d of %d nodes are missing", missing, s.cfg.Nodes)
		if err := s.addMissing(ctx, missing); err != nil {
			return done, err
		}
	}
	if parts.Reconciler != 0 {
		s.reconciler = &reconciler{pid: parts.Reconciler, log: s.reconcilerLog(), done: make(chan struct{})}
		return done, s.WaitReady(ctx, timeout)
	}
	s.progress("reconciler: starting, beside Ray that runs")
	if _, err := s.StartReconciler(); err != nil {
		return true, err
	}
	return true, s.WaitReady(ctx, timeout)
}

// addMissing starts nodes beside a head that answers.
func (s *Stack) addMissing(ctx context.Context, missing int) error {
	if err := s.headAnswers(ctx); err != nil {
		return err
	}
	for range missing {
		if err := s.AddNode(ctx, s.freshNode(), s.cfg.GPUs); err != nil {
			return fmt.Errorf("%w\nwhat ran before goes on: `make up` again, or `make down` and then `make up`, which ends it", err)
		}
	}
	return nil
}

// missing is how many nodes beside the head do not live.
func (s *Stack) missing(parts Parts) int {
	if s.cfg.Nodes == 1 {
		return 0
	}
	return max(0, s.cfg.Nodes-parts.Raylets)
}

// freshNode is a name that no node of this stack has had: it names a log.
func (s *Stack) freshNode() string {
	for i := s.cfg.Nodes + 1; ; i++ {
		name := fmt.Sprintf("node-%d", i)
		if _, err := os.Stat(s.rayLog(name)); errors.Is(err, fs.ErrNotExist) {
			return name
		}
	}
}

// restartRay ends all but the reconciler and restarts Ray.
func (s *Stack) restartRay(ctx context.Context) error {
	if err := end(ctx, s.cfg.TempDir, func(p Process) bool { return p.Name() != "reconciler" }); err != nil {
		return err
	}
	if err := s.freshTempDir(); err != nil {
		return err
	}
	return s.startRay(ctx)
}

func (s *Stack) endReconciler(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, killGrace)
	defer cancel()
	return end(ctx, s.cfg.TempDir, func(p Process) bool { return p.PID == s.reconciler.pid })
}

// freshTempDir recreates the temporary directory, for this user alone: it lies where
// everybody may make one.
func (s *Stack) freshTempDir() error {
	if err := os.RemoveAll(s.cfg.TempDir); err != nil {
		return err
	}
	if err := os.Mkdir(s.cfg.TempDir, 0o700); err != nil {
		return err
	}
	return writeRecord(s.cfg)
}
