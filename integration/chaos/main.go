package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"dynctl/deploy/local"
)

type config struct {
	seconds int
	seed    uint64
	plane   string
	bin     string
	only    *regexp.Regexp // kinds of faults
	disk    bool           // the store has a small file system of its own
	standby bool           // an agent stands by
}

// errBroken means that the run found something wrong; it was printed.
var errBroken = errors.New("the fleet did not survive")

func main() {
	var cfg config
	flag.IntVar(&cfg.seconds, "seconds", 120, "how long faults go on")
	flag.Uint64Var(&cfg.seed, "seed", uint64(time.Now().UnixNano())%100000, "decides the walk")
	flag.StringVar(&cfg.plane, "plane", "", "request plane, nats or tcp; empty: decided by the seed")
	flag.StringVar(&cfg.bin, "bin", "bin", "directory of reconciler, dynctl, local, etcd and nats-server")
	only := flag.String("only", "", "faults whose kind matches this; empty: all")
	flag.BoolVar(&cfg.standby, "standby", false, "have an agent stand by, and break that, too")
	flag.Parse()
	var err error
	if cfg.only, err = regexp.Compile(*only); err != nil {
		fmt.Fprintln(os.Stderr, "chaos: -only:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err = run(ctx, cfg)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "chaos: %v (seed %d)\n", err, cfg.seed)
		os.Exit(1)
	}
}

// run makes a stack, breaks it, and judges. The guard ends the stack whatever
// happens here.
func run(ctx context.Context, cfg config) (err error) {
	if cfg.plane == "" {
		cfg.plane = []string{"tcp", "nats"}[cfg.seed%2]
	}
	fmt.Printf("chaos: seed %d, %d s, request plane %s\n", cfg.seed, cfg.seconds, cfg.plane)
	setup, err := stackConfig(cfg)
	if err != nil {
		return err
	}
	// The reconciler leaves its context here, and not in the home of whoever runs this.
	if err := os.Setenv("XDG_CONFIG_HOME", filepath.Join(setup.RunDir, "config")); err != nil {
		return err
	}
	if cfg.standby {
		setup.ReconcilerArgs = append(setup.ReconcilerArgs, "--standby-agent")
	}
	through, err := openWays(&setup, fmt.Sprintf("nats://127.0.0.1:%d", setup.Ports.NATS))
	if err != nil {
		return err
	}
	defer through.close()
	stack, err := local.New(setup)
	if err != nil {
		return err
	}
	unmount, err := mountDisk(setup.DataDir)
	if err != nil {
		return err
	}
	cfg.disk = unmount != nil
	guard, err := local.StartGuard(setup)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, keepLogs(setup, err), guard.Close())
		if unmount != nil {
			err = errors.Join(err, unmount())
		}
		if err == nil {
			err = os.RemoveAll(setup.RunDir)
		}
	}()
	if err := stack.StartRay(ctx); err != nil {
		return err
	}
	w, err := newWorld(ctx, cfg, setup, stack, through)
	if err != nil {
		return err
	}
	defer w.close()
	if err := w.declareFleet(ctx); err != nil {
		return err
	}
	return w.breakAndJudge(ctx)
}

func (w *world) breakAndJudge(ctx context.Context) error {
	clients := w.startClients()
	w.walk(ctx)
	fmt.Println("chaos: quiet now; waiting until everything is as declared")
	problems := w.quiesce(ctx)
	clients.stop()
	problems = append(problems, w.requireStandby(ctx)...)
	problems = append(problems, w.leftovers(ctx)...)
	problems = append(problems, w.requireOneInCharge()...)
	problems = append(problems, w.report(clients)...)
	for _, p := range problems {
		fmt.Println("BROKEN:", p)
	}
	if len(problems) > 0 {
		return fmt.Errorf("%w: %d problems", errBroken, len(problems))
	}
	fmt.Println("chaos: converged, nothing left over, no request failed without a reason")
	return nil
}

func stackConfig(cfg config) (local.Config, error) {
	bin, err := filepath.Abs(cfg.bin)
	if err != nil {
		return local.Config{}, err
	}
	venv, err := filepath.Abs(cmp.Or(os.Getenv("DYNCTL_VENV"), ".venv"))
	if err != nil {
		return local.Config{}, err
	}
	setup, err := local.Throwaway("chaos")
	setup.Bin, setup.Venv, setup.Nodes, setup.GPUs, setup.CPUs = bin, venv, 3, 8, 16
	return setup, err
}

// keepLogs saves what explains a failure before the guard removes it.
func keepLogs(setup local.Config, failed error) error {
	if failed == nil {
		return nil
	}
	session := filepath.Join(setup.TempDir, "session_latest")
	for _, pattern := range []string{"logs/job-driver-*.log", "nemo_curator_dynamo_*/*.log*"} {
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
			if err := os.WriteFile(filepath.Join(setup.RunDir, name), data, 0o644); err != nil {
				return err
			}
		}
	}
	fmt.Fprintln(os.Stderr, "chaos: logs are kept in", setup.RunDir)
	return nil
}
