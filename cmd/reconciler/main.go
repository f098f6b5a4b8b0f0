// Command reconciler keeps Dynamo serving on Ray as the specs in NATS say.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"dynctl/cmd/internal/screen"
	"dynctl/cmd/internal/version"
	"dynctl/cmd/reconciler/app"
	"dynctl/state/kv/natsd"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], screen.New(os.Stdout), screen.New(os.Stderr))
	stop()
	os.Exit(code)
}

// run is the whole program; it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cfg, err := app.ParseFlags(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "reconciler:", err)
		return 2
	case cfg.ShowVersion:
		fmt.Fprintln(stdout, "reconciler", version.Get())
		return 0
	}
	bounded, stop := context.WithCancel(ctx)
	defer stop()
	go boundMemory(bounded)
	err = app.Main(ctx, cfg)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, natsd.ErrStoreBroken):
		fmt.Fprintln(stderr, "reconciler:", err)
		return exitStoreBroken
	default:
		fmt.Fprintln(stderr, "reconciler:", err)
		return 1
	}
}

// exitStoreBroken is for whoever starts this program again by itself: that would
// not help.
const exitStoreBroken = 3
