package local

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Errors of a stack.
var (
	// ErrMissingTool means that a program is not there; it says how to get it.
	ErrMissingTool = errors.New("missing tool")
	// ErrRunning means that the stack has live processes already.
	ErrRunning = errors.New("already running")
	// ErrStart means that a part of the stack did not come up.
	ErrStart = errors.New("did not start")
	// ErrDashboard means that Ray's dashboard has ended, which Ray starts with the head alone.
	ErrDashboard = errors.New("its dashboard has ended, and Ray starts none beside a head that runs")
	// ErrHead means that Ray's head is there and does not answer.
	ErrHead = errors.New("the head does not answer")
	// ErrStarting means that another program is starting this stack.
	ErrStarting = errors.New("it is being started by another program")
)

// maxTempDir keeps the sockets that Ray makes in its session directory below the
// 107 bytes that a socket's path may have.
const maxTempDir = 40

// Config says what a stack is made of.
type Config struct {
	Bin  string // directory of reconciler, dynctl, etcd and nats-server
	Venv string // virtual environment with Ray and Dynamo
	// RunDir gets the logs; DataDir is the reconciler's store.
	RunDir  string
	DataDir string
	// FreshData has the store begin empty: what DataDir holds is removed, once nothing
	// can keep the stack from being started and nothing runs that writes there.
	FreshData bool
	// TempDir is Ray's, at most 40 bytes; it names the stack.
	TempDir string
	// Nodes is 1 for a head that holds the GPUs, or the number of raylets beside a
	// head without any. GPUs and CPUs are of each.
	Nodes int
	GPUs  int
	CPUs  int
	Ports Ports
	// ReconcilerArgs are added to the reconciler's command line, ReconcilerEnv to its
	// environment.
	ReconcilerArgs []string
	ReconcilerEnv  []string
	// Progress gets one line per step.
	Progress io.Writer
}

// Stack is one Ray cluster and its reconciler on this machine.
type Stack struct {
	cfg        Config
	env        []string
	program    string // the reconciler's; empty: that in Bin
	without    []string
	within     []string // what Ray's command is run by; empty: nothing
	reconciler *reconciler
}

// TempDirOf is the temporary directory of the stack that belongs to a checkout:
// short, and another one for each checkout and user.
func TempDirOf(root string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", os.Getuid(), root))
	return filepath.Join("/tmp", "dynctl-"+hex.EncodeToString(sum[:4]))
}

// New checks that everything is there, that the ports are free and that no
// earlier stack lives, and makes the directories. Nothing is started.
func New(cfg Config) (*Stack, error) {
	if len(cfg.TempDir) > maxTempDir {
		return nil, fmt.Errorf("temporary directory %s: longer than %d bytes, Ray's sockets would not fit", cfg.TempDir, maxTempDir)
	}
	if cfg.Nodes < 1 || cfg.GPUs < 0 || cfg.CPUs < 1 {
		return nil, fmt.Errorf("nodes=%d gpus=%d cpus=%d: want at least one node and one CPU", cfg.Nodes, cfg.GPUs, cfg.CPUs)
	}
	if err := checkTools(cfg); err != nil {
		return nil, err
	}
	left, err := Processes(cfg.TempDir)
	if err != nil {
		return nil, err
	}
	if len(left) > 0 {
		return nil, fmt.Errorf("%w: %d processes, pid %d (%s) among them; end them with `make down`", ErrRunning, len(left), left[0].PID, left[0].Name())
	}
	if err := cfg.Ports.check(); err != nil {
		return nil, err
	}
	if cfg.Ports.Client == 0 {
		ports, err := FreePorts(1)
		if err != nil {
			return nil, err
		}
		cfg.Ports.Client = ports[0]
	}
	if err := makeDirs(cfg); err != nil {
		return nil, err
	}
	s := &Stack{cfg: cfg, env: environ(cfg)}
	if err := s.freshTempDir(); err != nil {
		return nil, err
	}
	return s, nil
}

// makeDirs makes the directories that outlive the stack.
func makeDirs(cfg Config) error {
	if cfg.FreshData {
		if err := os.RemoveAll(cfg.DataDir); err != nil {
			return err
		}
	}
	return errors.Join(os.MkdirAll(cfg.RunDir, 0o755), os.MkdirAll(cfg.DataDir, 0o755))
}

func checkTools(cfg Config) error {
	var errs []error
	for _, x := range []struct{ path, how string }{
		{filepath.Join(cfg.Bin, "reconciler"), "make build"},
		{filepath.Join(cfg.Bin, "dynctl"), "make build"},
		{filepath.Join(cfg.Bin, "etcd"), "make build"},
		{filepath.Join(cfg.Bin, "nats-server"), "make build"},
		{filepath.Join(cfg.Venv, "bin", "ray"), "make venv"},
	} {
		if _, err := os.Stat(x.path); errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("%w: %s; run `%s`", ErrMissingTool, x.path, x.how))
		}
	}
	return errors.Join(errs...)
}

// environ is the environment of every process of the stack. The raylets' PATH
// decides which python runs the entry point of a Ray job.
func environ(cfg Config) []string {
	out := []string{
		MarkEnv + "=" + cfg.TempDir,
		"PATH=" + filepath.Join(cfg.Venv, "bin") + string(os.PathListSeparator) + os.Getenv("PATH"),
		"VIRTUAL_ENV=" + cfg.Venv,
		"RAY_USAGE_STATS_ENABLED=0",
	}
	defaults := []string{
		"HF_HUB_OFFLINE=1",
		// Where somebody's Ray has left a token in the home directory, a head turns
		// authentication on by itself, and no node and no driver after it.
		"RAY_AUTH_MODE=disabled",
	}
	if cfg.Nodes > 1 {
		defaults = append(defaults, NodeHealth...)
	}
	for _, d := range defaults {
		name, _, _ := strings.Cut(d, "=")
		if _, set := os.LookupEnv(name); !set {
			out = append(out, d)
		}
	}
	for _, v := range os.Environ() {
		switch name, _, _ := strings.Cut(v, "="); name {
		case MarkEnv, "PATH", "VIRTUAL_ENV", "PYTHONHOME", "PYTHONPATH", "RAY_ADDRESS", "RAY_USAGE_STATS_ENABLED":
		default:
			out = append(out, v)
		}
	}
	return out
}

// Stop ends every process of the stack and removes its temporary directory. The
// reconciler's store and the logs in RunDir stay.
func (s *Stack) Stop(ctx context.Context) error {
	return Down(ctx, s.cfg.TempDir)
}

// Down ends the stack that a temporary directory names, whatever state it is in,
// and removes the directory. A stack that does not run is no error.
func Down(ctx context.Context, tempDir string) error {
	if err := End(ctx, tempDir); err != nil {
		return err
	}
	return os.RemoveAll(tempDir)
}

// Processes lists what lives of the stack.
func (s *Stack) Processes() ([]Process, error) { return Processes(s.cfg.TempDir) }

// TempDir is Ray's temporary directory; session_latest below it is the session.
func (s *Stack) TempDir() string { return s.cfg.TempDir }

// NATSURL is where the spec store listens.
func (s *Stack) NATSURL() string { return "nats://" + loopback(s.cfg.Ports.NATS) }

// HTTPURL is where the reconciler answers.
func (s *Stack) HTTPURL() string { return "http://" + loopback(s.cfg.Ports.HTTP) }

// DashboardURL is Ray's dashboard.
func (s *Stack) DashboardURL() string { return "http://" + loopback(s.cfg.Ports.Dashboard) }

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func (s *Stack) progress(format string, args ...any) {
	fmt.Fprintf(s.cfg.Progress, format+"\n", args...)
}
