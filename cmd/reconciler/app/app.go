// Package app is the reconciler: it wires the adapters to the planner and runs
// the loop.
//
// Nothing is decided outside package actors; this package reads the whole state,
// asks [plan.Plan], and carries the answer out while it holds the lease.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lmittmann/tint"
	"github.com/nats-io/nats.go"
	"github.com/oklog/run"

	"dynctl/actors/ray"
	"dynctl/cmd/internal/screen"
	"dynctl/cmd/reconciler/app/door"
	"dynctl/cmd/reconciler/app/ops"
	"dynctl/events"
	"dynctl/state"
	"dynctl/state/kv"
	"dynctl/state/kv/natsd"
	"dynctl/state/registry"
)

// App is one reconciler.
type App struct {
	cfg Config
	log *slog.Logger

	natsd     *natsd.Server
	creds     *natsd.Creds             // nil: the embedded store lets everybody in, or there is none
	natsTLS   bool                     // the embedded store speaks TLS
	lastCA    atomic.Pointer[string]   // the authorities of an external store, as they could be read last
	open      atomic.Bool              // an external store lets everybody in
	lacks     atomic.Pointer[[]string] // what this reconciler may not do in an external store
	nc        *nats.Conn
	store     *kv.Client
	views     *kv.Views
	elector   *kv.Elector
	publisher *events.Publisher
	registry  *registry.Registry
	frontends *registry.Frontends
	resolver  ray.Resolver
	pkg       ray.Package
	programs  func() ray.Programs // for nodes that have none
	listener  net.Listener
	web       *web
	metrics   *metrics
	traces    *traces
	withheld  withheld
	policies  *policies
	doors     doors
	page      *ops.Page
	logs      *door.Gate
	loop      *loop
	revoking  inFlight
	beat      beat

	facts      atomic.Uint64
	boot       string
	snapshot   atomic.Pointer[snapshot]
	heardAt    atomic.Pointer[time.Time] // when a heartbeat last came and it was known what runs; nil: never
	roundAt    atomic.Pointer[time.Time] // when the last round ended
	planHeld   atomic.Pointer[string]    // what the plan that is held back breaks; nil: none is
	setAside   setAside
	sizes      atomic.Pointer[[]kv.BucketSize]
	supervisor atomic.Pointer[ray.Supervisor]
	supervised sync.WaitGroup
}

// Main runs a reconciler until ctx ends.
func Main(ctx context.Context, cfg Config) error {
	log := newLogger(cfg)
	a, err := New(ctx, cfg, log)
	if err != nil {
		return err
	}
	a.leaveContext()
	err = a.Run(ctx)
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return errors.Join(err, a.Close(closing))
}

func newLogger(cfg Config) *slog.Logger {
	level := slog.LevelInfo
	if cfg.Verbose {
		level = slog.LevelDebug
	}
	if cfg.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(screen.New(os.Stderr), &slog.HandlerOptions{Level: level, ReplaceAttr: withoutSecrets}))
	}
	return slog.New(tint.NewTextHandler(screen.New(os.Stderr), &tint.Options{
		Level: level, TimeFormat: "15:04:05.000", NoColor: !isTerminal(os.Stderr), ReplaceAttr: withoutSecrets,
	}))
}

// withoutSecrets hides the secrets of URLs in what is logged: errors of dialling repeat
// the URL.
func withoutSecrets(_ []string, a slog.Attr) slog.Attr {
	switch v := a.Value.Any().(type) {
	case string:
		a.Value = slog.StringValue(state.HideSecrets(v))
	case error:
		if text := v.Error(); state.HideSecrets(text) != text {
			a.Value = slog.StringValue(state.HideSecrets(text))
		}
	}
	return a
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == ""
}

// New opens everything that must be there from the start: the HTTP address, NATS
// with its buckets, the package of the agent. Ray need not run yet.
func New(ctx context.Context, cfg Config, log *slog.Logger) (a *App, err error) {
	cfg.Limits = cfg.Limits.WithDefaults()
	a = &App{cfg: cfg, log: log, metrics: newMetrics(), boot: strconv.FormatInt(time.Now().UnixMilli(), 36), logs: newLogGate()}
	a.page = ops.New(a.opsInput, log)
	a.programs = sync.OnceValue(a.findPrograms)
	defer func() {
		if err != nil {
			closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			err = errors.Join(err, a.Close(closing))
		}
	}()
	if a.traces, err = openTraces(ctx, cfg, log); err != nil {
		return a, err
	}
	if a.policies, err = openPolicies(cfg.Policy, log); err != nil {
		return a, err
	}
	if a.listener, err = net.Listen("tcp", cfg.HTTP); err != nil {
		return a, fmt.Errorf("--http %s: %w; end what listens there or pass another address", cfg.HTTP, err)
	}
	if a.doors, err = openDoors(cfg); err != nil {
		return a, err
	}
	a.web = serve(ctx, a.listener, a.doors, a.waiting)
	if a.resolver, err = newResolver(cfg, log); err != nil {
		return a, err
	}
	if a.pkg, err = ray.AgentPackage(); err != nil {
		return a, err
	}
	if err = a.openNATS(ctx); err != nil {
		return a, err
	}
	err = a.openStore(ctx)
	return a, err
}

func newResolver(cfg Config, log *slog.Logger) (ray.Resolver, error) {
	var target ray.Target
	var err error
	switch {
	case cfg.RayCluster != "":
		target, err = ray.ClusterTarget(cfg.RayCluster)
	case cfg.RayService != "":
		target, err = ray.ServiceTarget(cfg.RayService)
	default:
		return ray.NewStatic(cfg.RayAddress, cfg.RayCA)
	}
	if err != nil {
		return nil, err
	}
	token, err := ray.TokenFromEnv()
	if err != nil {
		log.Warn("the environment has no token for Ray; that of the RayCluster counts", "err", err)
	}
	kube, err := ray.DialKube(token)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", target, err)
	}
	return ray.NewRayCluster(kube, target), nil
}

// seenEpoch is the highest epoch that the agent has seen: a recreated bucket
// begins at 1 again, the agent does not.
func (a *App) seenEpoch() uint64 {
	if agent := a.views.Observed().Agent; agent != nil {
		return agent.Epoch
	}
	return 0
}

// loadPatience bounds the wait for the buckets before the first round and the election.
const loadPatience = 5 * time.Second

// takePart takes part in the election once the buckets are read: what the agent has
// seen is among it, and an epoch has to be above that.
func (a *App) takePart(ctx context.Context) error {
	late := time.After(loadPatience)
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for waiting := true; waiting && !a.views.Loaded(); {
		select {
		case <-look.C:
		case <-late:
			waiting = false
		case <-ctx.Done():
			return nil
		}
	}
	return a.elector.Run(ctx)
}

// Run reconciles until ctx ends.
func (a *App) Run(ctx context.Context) error {
	var g run.Group
	add := func(name string, f func(context.Context) error) {
		ctx, cancel := context.WithCancel(ctx)
		g.Add(func() error {
			if err := f(ctx); err != nil && ctx.Err() == nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		}, func(error) { cancel() })
	}
	add("signal", func(ctx context.Context) error { <-ctx.Done(); return nil })
	add("http", a.serveHTTP)
	add("election", a.takePart)
	add("loop", a.loop.run)
	add("sizes", a.keepSizes)
	add("reach", a.keepReaching)
	add("policy", func(ctx context.Context) error { return a.policies.follow(ctx, a.loop.Kick) })
	add("doors", a.watchDoors)
	a.log.Info("reconciler is up", "id", a.cfg.ID, "http", a.doors.scheme()+"://"+a.listener.Addr().String())
	err := g.Run()
	a.supervised.Wait()
	return err
}

// Close releases everything. What runs in Ray keeps running.
func (a *App) Close(ctx context.Context) error {
	var errs []error
	if a.web != nil {
		errs = append(errs, a.web.close())
	}
	if a.publisher != nil {
		errs = append(errs, a.publisher.Close(ctx))
	}
	if a.registry != nil {
		a.registry.Close()
		a.frontends.Close()
	}
	if a.views != nil {
		a.views.Close()
	}
	if a.nc != nil {
		a.nc.Close()
	}
	if a.natsd != nil {
		errs = append(errs, a.natsd.Shutdown(ctx))
	}
	a.traces.close(ctx, a.log)
	return errors.Join(errs...)
}

// source names this reconciler in events.
func (a *App) source() string { return "dynctl/reconciler/" + a.cfg.ID }

// record hands a fact to the publisher.
func (a *App) record(e events.Event) {
	if e.ID == "" {
		e.ID = fmt.Sprintf("%s-%s-%s-%d", e.Type, a.cfg.ID, a.boot, a.facts.Add(1))
	}
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	e.Source = a.source()
	a.publisher.Record(e)
}

// inFlight is a set of things that are being done.
type inFlight struct {
	mu  sync.Mutex
	set map[int64]bool
}

// begin reports whether the caller is the one to do it.
func (f *inFlight) begin(k int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.set[k] {
		return false
	}
	if f.set == nil {
		f.set = map[int64]bool{}
	}
	f.set[k] = true
	return true
}

func (f *inFlight) end(k int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.set, k)
}
