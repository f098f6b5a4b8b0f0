package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dynctl/deploy/local"
	"dynctl/state"
	credential "dynctl/state/kv/local"
)

// server is the name of the one server.
const server = "chaos"

// world is the stack with what is known of it.
type world struct {
	cfg     config
	setup   local.Config
	stack   *local.Stack
	ways    ways
	rnd     *rand.Rand
	port    int // of the frontend
	nc      *nats.Conn
	js      jetstream.JetStream
	client  http.Client
	ray     rayHelper
	journal *journal
	began   time.Time

	fleet      map[string]*model // by name; what is declared
	reconciler int               // its pid
	nodes      int               // raylets that were ever started

	mu       sync.Mutex
	spans    *spans
	charge   *charge
	faults   []fault
	harmed   map[string]harm      // by unit, until it is gone or runs again
	touched  map[string]time.Time // by model: when it was struck, or something asked of it, last
	hung     bool                 // a node is, and not taken for dead yet
	problems []string
	anew     map[string]awaited // by label: what has to be executed again before a span closes
	agentEnd uint64             // incarnation of the agent that was killed last

	watched   chan struct{} // closed when no span is watched any more
	stopWatch context.CancelFunc
}

// fault is one step of the walk.
type fault struct {
	kind string
	at   time.Time
}

func newWorld(ctx context.Context, cfg config, setup local.Config, stack *local.Stack, through ways) (*world, error) {
	w := &world{cfg: cfg, setup: setup, stack: stack, ways: through, rnd: rand.New(rand.NewPCG(cfg.seed, 1)), nodes: setup.Nodes,
		client: http.Client{Timeout: 2 * time.Second}, began: time.Now(), spans: newSpans(), charge: newCharge(), harmed: map[string]harm{},
		touched: map[string]time.Time{}, anew: map[string]awaited{}}
	var err error
	if w.journal, err = openJournal(setup.RunDir); err != nil {
		return nil, err
	}
	if err := w.startReconciler(ctx); err != nil {
		return nil, err
	}
	ports, err := local.FreePorts(1)
	if err != nil {
		return nil, err
	}
	w.port = ports[0]
	options := append(credential.Options(stack.NATSURL()), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	if w.nc, err = nats.Connect(stack.NATSURL(), options...); err != nil {
		return nil, err
	}
	if w.js, err = jetstream.New(w.nc); err != nil {
		return nil, err
	}
	w.ray, err = startRayHelper(setup)
	return w, err
}

func (w *world) close() {
	_ = w.journal.file.Close() // to read, not to judge by
	w.nc.Close()
	w.ray.Close()
}

func (w *world) startReconciler(ctx context.Context) (err error) {
	if w.reconciler, err = w.stack.StartReconciler(); err != nil {
		return err
	}
	return w.stack.WaitReady(ctx, 2*time.Minute)
}

// dynctl runs the command line; stdin may be empty.
func (w *world) dynctl(ctx context.Context, stdin string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(w.setup.Bin, "dynctl"), args...)
	cmd.Env = append(os.Environ(), "DYNCTL_NATS_URL="+w.stack.NATSURL(), "NO_COLOR=1")
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("dynctl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return out.String(), nil
}

// observed reads all that the agent reports, as of now.
func (w *world) observed(ctx context.Context) (units []state.Unit, agent state.Agent, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	bucket, err := w.js.KeyValue(ctx, "dynctl_observed")
	if err != nil {
		return nil, agent, err
	}
	watch, err := bucket.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, agent, err
	}
	defer func() { _ = watch.Stop() }() // it ends with ctx otherwise
	for e := range watch.Updates() {
		if e == nil {
			slices.SortFunc(units, func(a, b state.Unit) int { return strings.Compare(a.Unit, b.Unit) })
			return units, agent, nil
		}
		switch {
		case e.Key() == "agent":
			err = json.Unmarshal(e.Value(), &agent)
			agent.At = e.Created()
		case strings.HasPrefix(e.Key(), "unit."):
			var u state.Unit
			if err = json.Unmarshal(e.Value(), &u); err == nil {
				units = append(units, u)
			}
		}
		if err != nil {
			return nil, agent, fmt.Errorf("%s: %w", e.Key(), err)
		}
	}
	return nil, agent, errors.New("the watch of dynctl_observed ended early")
}

// statuses are those of all models.
func (w *world) statuses(ctx context.Context) (map[string]state.Status, error) {
	out, err := w.dynctl(ctx, "", "get", "models", "-o", "json")
	if err != nil {
		return nil, err
	}
	var items []struct {
		Name   string        `json:"name"`
		Status *state.Status `json:"status"`
	}
	if err := json.Unmarshal([]byte(out), &items); err != nil {
		return nil, err
	}
	byName := map[string]state.Status{}
	for _, i := range items {
		byName[i.Name] = state.Status{}
		if i.Status != nil {
			byName[i.Name] = *i.Status
		}
	}
	return byName, nil
}

func (w *world) url(path string) string { return fmt.Sprintf("http://127.0.0.1:%d%s", w.port, path) }

// get asks the frontend for a path.
func (w *world) get(ctx context.Context, path string) (status int, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url(path), http.NoBody)
	if err != nil {
		return 0, nil, err
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

// answers reports whether a path of the frontend gives 200.
func (w *world) answers(ctx context.Context, path string) bool {
	status, _, err := w.get(ctx, path)
	return err == nil && status == http.StatusOK
}

func (w *world) say(format string, args ...any) {
	fmt.Printf("%6.1f s  %s\n", time.Since(w.began).Seconds(), fmt.Sprintf(format, args...))
}

// kill signals a process; one that has just ended by itself is no error.
func kill(pid int, sig syscall.Signal) error {
	if pid <= 0 {
		return errors.New("no such process now")
	}
	if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("%s to %d: %w", sig, pid, err)
	}
	return nil
}

// rayHelper is chaos_ray.py.
type rayHelper struct{ *local.Helper }

type rayAnswer struct{ Actors, Groups []string }

func startRayHelper(setup local.Config) (rayHelper, error) {
	h, err := setup.StartHelper(os.Stderr, nil, filepath.Join("integration", "chaos", "chaos_ray.py"),
		fmt.Sprintf("127.0.0.1:%d", setup.Ports.Ray), "nemo_curator_dynamo")
	return rayHelper{h}, err
}

func (h rayHelper) ask(command string) (a rayAnswer, err error) {
	err = h.Ask([]byte(command), &a)
	return a, err
}
