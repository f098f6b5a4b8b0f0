//go:build integration

package integration

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dynctl/deploy/local"
)

// tinyModel is the tokenizer that the mocker serves.
const tinyModel = "/tmp/dynctl-tiny-model"

// Options say which cluster an environment has.
type Options struct {
	// Nodes is 1 (a head with the GPUs) or the number of raylets beside a head
	// without any. GPUs and CPUs are of each. 0 means 1, 8 and 16.
	Nodes, GPUs, CPUs int
	// ReconcilerArgs and ReconcilerEnv are added to the reconciler's.
	ReconcilerArgs, ReconcilerEnv []string
	// Venv is another virtual environment than that of the Python that make was told, or .venv.
	Venv string
}

// Env is a Ray cluster with a reconciler, apart from everything else on the machine.
type Env struct {
	Stack *local.Stack
	// ReconcilerPID is that of the reconciler that was started last.
	ReconcilerPID int

	cfg     local.Config
	guard   *local.Guard
	servers int
	// nats is another spec store than the stack's own, and suffix part of the names
	// of the servers in it; see beside.
	nats, suffix string
}

// natsURL is where the spec store listens.
func (e *Env) natsURL() string {
	if e.nats != "" {
		return e.nats
	}
	return e.Stack.NATSURL()
}

// Start makes an environment of a test's own; it ends with the test.
func Start(t *testing.T, o Options) *Env {
	t.Helper()
	t.TempDir() // the first one registers the removal of all: what runs here may write into one until its end
	e, err := newEnv(t.Name(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.close(t.Failed()); err != nil {
			t.Error(err)
		}
	})
	return e
}

var shared struct {
	sync.Mutex
	env *Env
	err error
}

// Shared is the environment (1 node, 8 GPUs) of all tests that neither change the
// cluster nor restart the reconciler; each takes a server of its own.
func Shared(t *testing.T) *Env {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.env == nil && shared.err == nil {
		shared.env, shared.err = newEnv("shared", Options{})
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.env
}

func closeShared(failed bool) error {
	if shared.env == nil {
		return nil
	}
	return shared.env.close(failed)
}

func newEnv(name string, o Options) (*Env, error) {
	e, err := prepare(name, o)
	if err != nil {
		return nil, err
	}
	if err := e.bringUp(); err != nil {
		return nil, errors.Join(err, e.close(true))
	}
	return e, nil
}

// prepare makes an environment in which nothing runs yet but the guard.
func prepare(name string, o Options) (*Env, error) {
	root, err := filepath.Abs("..")
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(tinyModel); err != nil {
		return nil, fmt.Errorf("%w; run `make examples`", err)
	}
	cfg, err := config(root, name, o)
	if err != nil {
		return nil, err
	}
	stack, err := local.New(cfg)
	if err != nil {
		return nil, err
	}
	guard, err := local.StartGuard(cfg)
	if err != nil {
		return nil, err
	}
	return &Env{Stack: stack, cfg: cfg, guard: guard}, nil
}

// config finds directories and ports. BIN_DIR names another bin/.
func config(root, name string, o Options) (local.Config, error) {
	ports, err := local.FreePorts(5)
	if err != nil {
		return local.Config{}, err
	}
	runs := filepath.Join(root, ".run", "integration")
	if err := os.MkdirAll(runs, 0o755); err != nil {
		return local.Config{}, err
	}
	run, err := os.MkdirTemp(runs, strings.ReplaceAll(name, "/", "_")+"-")
	if err != nil {
		return local.Config{}, err
	}
	tmp, err := os.MkdirTemp("/tmp", "dynctl-it-")
	if err != nil {
		return local.Config{}, err
	}
	policy := filepath.Join(run, "policy.yaml")
	if err := os.WriteFile(policy, []byte(testPolicy), 0o644); err != nil {
		return local.Config{}, err
	}
	bin := os.Getenv("BIN_DIR")
	if bin == "" {
		bin = filepath.Join(root, "bin")
	}
	return local.Config{
		Bin: bin, Venv: cmp.Or(o.Venv, os.Getenv("DYNCTL_VENV"), filepath.Join(root, ".venv")), RunDir: run, DataDir: filepath.Join(run, "data"), TempDir: tmp,
		Nodes: cmp.Or(o.Nodes, 1), GPUs: cmp.Or(o.GPUs, 8), CPUs: cmp.Or(o.CPUs, 16), Progress: os.Stderr,
		Ports:          local.Ports{Ray: ports[0], Dashboard: ports[1], Client: ports[2], NATS: ports[3], HTTP: ports[4]},
		ReconcilerArgs: append(append([]string{storeClosed}, withoutTLS...), append([]string{"--policy", policy}, o.ReconcilerArgs...)...),
		ReconcilerEnv:  o.ReconcilerEnv,
	}, nil
}

// What the first of the reconciler's arguments may be.
const (
	storeClosed = "--store-auth"
	storeOpen   = "--store-auth=false"
)

// withoutTLS follows the first of them.
var withoutTLS = []string{"--tls-cert=", "--tls-key=", "--tls-ca="}

// restartWith ends the reconciler, and starts it again with other first arguments.
func (e *Env) restartWith(t *testing.T, first ...string) {
	t.Helper()
	e.EndReconciler(t, syscall.SIGTERM)
	copy(e.cfg.ReconcilerArgs, first) // the stack's are the same
	e.StartReconciler(t)
}

// testPolicy lets tests make programs misbehave by a sitecustomize.py of their own.
const testPolicy = "apiVersion: dynctl/v1alpha1\nkind: Policy\nenv: {allow: [PYTHONPATH]}\n"

func (e *Env) bringUp() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if err := e.Stack.StartRay(ctx); err != nil {
		return err
	}
	return e.startReconciler(ctx)
}

func (e *Env) startReconciler(ctx context.Context) (err error) {
	if e.ReconcilerPID, err = e.Stack.StartReconciler(); err != nil {
		return err
	}
	if e.cfg.ReconcilerArgs[1] != withoutTLS[0] {
		return nil // the port speaks TLS: who has started it waits with its authority
	}
	return e.Stack.WaitReady(ctx, 2*time.Minute)
}

// StartReconciler starts the reconciler again, on the store that it had, and
// waits until it is ready.
func (e *Env) StartReconciler(t *testing.T) {
	t.Helper()
	if err := e.startReconciler(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// EndReconciler ends the reconciler with a signal and waits until it is gone.
func (e *Env) EndReconciler(t *testing.T, sig syscall.Signal) {
	t.Helper()
	Signal(t, e.ReconcilerPID, sig)
	select {
	case <-e.Stack.ReconcilerEnded():
	case <-time.After(30 * time.Second):
		t.Fatalf("the reconciler (pid %d) lives 30 s after %s", e.ReconcilerPID, sig)
	}
}

// close ends everything. It keeps the logs when something failed.
func (e *Env) close(failed bool) error {
	if failed {
		if err := e.keepLogs(); err != nil {
			return errors.Join(err, e.guard.Close())
		}
		fmt.Fprintln(os.Stderr, "logs are kept in", e.cfg.RunDir)
	}
	if err := e.guard.Close(); err != nil {
		return fmt.Errorf("the guard could not end everything: %w; see %s", err, filepath.Join(e.cfg.RunDir, "guard.log"))
	}
	if failed {
		return nil
	}
	return os.RemoveAll(e.cfg.RunDir)
}

// keepLogs copies the logs of the agent and of Dynamo's processes.
func (e *Env) keepLogs() error {
	session, err := filepath.EvalSymlinks(filepath.Join(e.cfg.TempDir, "session_latest"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // Ray never came up
	}
	if err != nil {
		return err
	}
	for _, pattern := range []string{"logs/job-driver-*.log", "logs/gcs_server.*", "logs/raylet.*", "nemo_curator_dynamo_*/*.log*"} {
		paths, err := filepath.Glob(filepath.Join(session, pattern))
		if err != nil {
			return err
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				continue // removed with its unit meanwhile
			}
			name := filepath.Base(filepath.Dir(path)) + "-" + filepath.Base(path)
			if err := os.WriteFile(filepath.Join(e.cfg.RunDir, name), data, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}
