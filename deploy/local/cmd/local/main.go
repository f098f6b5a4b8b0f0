// Command local starts and ends a Ray cluster with the reconciler on this
// machine: what `make up`, `make down`, `make demo` and `make smoke` run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"dynctl/deploy/local"
)

const usage = `usage: local VERB [FLAGS]

  up     start Ray and the reconciler, or what is missing of them, wait until ready, and leave them running
  down   end what up started, and verify that nothing is left
  demo   up, serve the examples and ask them something, until Ctrl-C, then down
  smoke  demo without a person: ends by itself, and fails if anything is wrong
  guard  end a stack at the end of standard input (for tests)
`

const (
	readyTimeout = 2 * time.Minute
	downTimeout  = time.Minute
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	code := run(ctx, os.Args[1:], os.Stderr)
	stop()
	os.Exit(code)
}

// run carries out one command line and returns the exit code.
func run(ctx context.Context, args []string, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return 2
	}
	if slices.Contains([]string{"help", "-h", "--help"}, args[0]) {
		fmt.Fprint(stderr, usage)
		return 0
	}
	verbs := map[string]func(context.Context, options) error{
		"up": up, "down": down, "demo": demo, "smoke": smoke, "guard": guard,
	}
	verb, ok := verbs[args[0]]
	if !ok {
		fmt.Fprintf(stderr, "local: no verb %q\n\n%s", args[0], usage)
		return 2
	}
	opts, err := parse(args[0], args[1:], stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "local:", err)
		return 2
	}
	if err := verb(ctx, opts); err != nil {
		fmt.Fprintf(stderr, "local %s: %v\n", args[0], err)
		return 1
	}
	return 0
}

// options are the flags of all verbs.
type options struct {
	root         string
	frontendPort int
	cfg          local.Config
	// given are the make variables that were set for this call.
	given map[string]bool
}

func parse(verb string, args []string, stderr io.Writer) (options, error) {
	var o options
	c := &o.cfg
	d := local.DefaultPorts
	fs := flag.NewFlagSet("local "+verb, flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&o.root, "root", ".", "the checkout: bin/, .run/ and the environments are in it")
	fs.StringVar(&c.Venv, "venv", ".venv", "the Python environment with Ray and Dynamo, from the checkout")
	fs.StringVar(&c.TempDir, "temp-dir", "", "Ray's temporary directory (default: one below /tmp that belongs to the checkout)")
	fs.IntVar(&c.Nodes, "nodes", 1, "1: a head with the GPUs; more: a head without, and so many raylets")
	fs.IntVar(&c.GPUs, "gpus", 8, "logical GPUs of each node")
	fs.IntVar(&c.CPUs, "cpus", 16, "logical CPUs of each node")
	fs.IntVar(&c.Ports.Ray, "ray-port", d.Ray, "port of Ray's GCS")
	fs.IntVar(&c.Ports.Dashboard, "dashboard-port", d.Dashboard, "port of Ray's dashboard")
	fs.IntVar(&c.Ports.NATS, "nats-port", d.NATS, "port of the spec store")
	fs.IntVar(&c.Ports.HTTP, "http-port", d.HTTP, "port of the ops page")
	fs.IntVar(&o.frontendPort, "frontend-port", 8000, "port of the OpenAI endpoint (demo and smoke)")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	o.given = map[string]bool{}
	fs.Visit(func(f *flag.Flag) { o.given[strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))] = true })
	if verb == "up" && o.given["FRONTEND_PORT"] {
		return o, errors.New("FRONTEND_PORT is of demo and smoke, which declare a server by themselves: here it is spec.frontend.port of yours")
	}
	root, err := filepath.Abs(o.root)
	if err != nil {
		return o, err
	}
	o.root = root
	c.Bin = filepath.Join(root, "bin")
	if !filepath.IsAbs(c.Venv) {
		c.Venv = filepath.Join(root, c.Venv)
	}
	c.RunDir = filepath.Join(root, ".run")
	c.DataDir = filepath.Join(c.RunDir, "data")
	if c.TempDir == "" {
		c.TempDir = local.TempDirOf(root)
	}
	c.Progress = os.Stdout
	return o, nil
}

// up leaves nothing behind that it has started when it fails or is interrupted.
// Beside a stack that runs it starts what is missing.
func up(ctx context.Context, o options) error {
	var stack *local.Stack
	err := local.Alone(o.cfg.RunDir, func() error {
		parts, err := local.Look(o.cfg.TempDir)
		if err != nil {
			return err
		}
		if len(parts.Processes) == 0 {
			stack, err = start(ctx, o.cfg)
		} else {
			stack, err = complete(ctx, o, parts)
		}
		return err
	})
	if err != nil {
		return err
	}
	fmt.Printf("\nready\n  ops page  %s\n  Ray       %s\n  logs      %s\n\nnext: bin/dynctl set examples/agg-mocker.yaml && bin/dynctl status\n",
		stack.HTTPURL(), stack.DashboardURL(), o.cfg.RunDir)
	if stack.NATSURL() != fmt.Sprintf("nats://127.0.0.1:%d", local.DefaultPorts.NATS) {
		fmt.Printf("with:  export DYNCTL_NATS_URL=%s\n", stack.NATSURL())
	}
	return nil
}

// complete starts what is missing of a stack that runs in part.
func complete(ctx context.Context, o options, parts local.Parts) (*local.Stack, error) {
	begin := time.Now()
	stack, err := local.Resume(o.cfg, o.given)
	if err != nil {
		return nil, err
	}
	did, err := stack.Complete(ctx, parts, readyTimeout)
	if err != nil {
		return nil, err
	}
	if did {
		fmt.Printf("complete after %.0f s\n", time.Since(begin).Seconds())
	} else {
		fmt.Printf("up already: Ray, and the reconciler (pid %d); nothing to start\n", parts.Reconciler)
	}
	return stack, nil
}

// start brings a stack up completely or not at all.
func start(ctx context.Context, cfg local.Config) (*local.Stack, error) {
	begin := time.Now()
	stack, err := local.New(cfg)
	if err != nil {
		return nil, err
	}
	if err := bringUp(ctx, stack); err != nil {
		return nil, errors.Join(err, end(cfg.TempDir))
	}
	fmt.Printf("up after %.0f s\n", time.Since(begin).Seconds())
	return stack, nil
}

func bringUp(ctx context.Context, stack *local.Stack) error {
	if err := stack.StartRay(ctx); err != nil {
		return err
	}
	fmt.Println("reconciler: starting")
	if _, err := stack.StartReconciler(); err != nil {
		return err
	}
	return stack.WaitReady(ctx, readyTimeout)
}

func down(_ context.Context, o options) error {
	left, err := local.Processes(o.cfg.TempDir)
	if err != nil {
		return err
	}
	if err := end(o.cfg.TempDir); err != nil {
		return err
	}
	if len(left) == 0 {
		fmt.Println("down: nothing was running")
		return nil
	}
	fmt.Printf("down: ended %d processes, none is left\n", len(left))
	return nil
}

// end ends a stack even if this program was interrupted meanwhile.
func end(tempDir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), downTimeout)
	defer cancel()
	return local.Down(ctx, tempDir)
}

func guard(_ context.Context, o options) error {
	// Nothing but the end of the pipe ends a guard.
	signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	return local.Watch(ctx, os.Stdin, o.cfg.TempDir)
}
