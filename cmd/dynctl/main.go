// Command dynctl declares, shows and explains what Dynamo serves on Ray.
//
// It talks to one place only: the NATS server that holds the specs, the statuses
// and the events. Each verb lives in a file of its own; run is the whole program
// and can be called from a test.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"dynctl/cmd/dynctl/internal/exit"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), ending()...)
	context.AfterFunc(ctx, func() {
		stop() // a second signal ends it at once
		time.AfterFunc(lastWord, func() { os.Exit(exit.Interrupted) })
	})
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// ending are the signals that a verb hears of, so that it leaves the screen and files in
// order. Who started it with nohup wants it to outlive the terminal.
func ending() []os.Signal {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}

// lastWord is how long a verb that a signal ends has to put things in order, such as
// the screen. One that reads from a pipe nobody writes to would never end.
const lastWord = 2 * time.Second

// run carries out one command line and returns the exit code (see exit.go).
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return newApp(stdin, stdout, stderr).run(ctx, args)
}
