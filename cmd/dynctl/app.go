package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/cmd/internal/screen"
	"dynctl/cmd/internal/version"
	"dynctl/state/kv"
)

// app is one run of the program.
type app struct {
	in    io.Reader
	out   *output
	err   io.Writer
	now   func() time.Time
	conn  connFlags
	store string // the place of the store that it is connected to; empty: none
	style palette
}

func newApp(stdin io.Reader, stdout, stderr io.Writer) *app {
	return &app{
		in: stdin, out: &output{to: screen.New(stdout)}, err: screen.New(stderr),
		now:   time.Now,
		style: palette{on: colourful(stdout)},
	}
}

// run carries out one command line, prints the error if there is one, and
// returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err = a.out.complete(err); err == nil {
		return exit.OK
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		if errors.Is(err, kv.ErrHalfRestored) { // of this somebody has to know
			fmt.Fprintln(a.err, "error:", err)
		}
		return exit.Interrupted // whatever that looked like from within, such as a connection that ended
	}
	var e *exit.Error
	if !errors.As(err, &e) && isUsage(err) {
		err = wrongUsage(cmd, err)
	}
	if text := a.told(err); text != "" && exit.CodeOf(err) != exit.Interrupted {
		fmt.Fprintln(a.err, "error:", text)
	}
	return exit.CodeOf(err)
}

const rootLong = `dynctl declares, shows and explains what Dynamo serves on Ray.

Exit codes: 0 done or no difference; 1 difference found (diff, plan), fault
found (doctor) or document denied (policy test); 2 wrong usage or invalid spec;
3 not found; 4 conflict; 5 timed out; 6 unreachable: NATS, Ray or a frontend
does not answer or takes nothing, or the output could not be written whole; 130
interrupted.

Objects are named model/NAME or server/NAME. A model is looked for on every
server unless --server says which.`

const rootExample = `  dynctl set model.yaml --wait
  dynctl status
  dynctl chat qwen3-8b "Why is the sky blue?"`

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "dynctl",
		Short:         "Declare, show and explain what Dynamo serves on Ray",
		Long:          rootLong,
		Example:       rootExample,
		Args:          cobra.NoArgs,
		Version:       fmt.Sprint("dynctl ", version.Get()),
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },

		PersistentPreRunE: refuseEmpty,
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.CompletionOptions.HiddenDefaultCmd = false
	a.conn.register(root.PersistentFlags())
	const declare, look, act, offline = "declare", "look", "act", "offline"
	root.AddGroup(
		&cobra.Group{ID: declare, Title: "Declare:"},
		&cobra.Group{ID: look, Title: "Look:"},
		&cobra.Group{ID: act, Title: "Act:"},
		&cobra.Group{ID: offline, Title: "Without a server:"},
	)
	add := func(group string, cmds ...*cobra.Command) {
		for _, c := range cmds {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add(declare, a.setCmd(), a.diffCmd(), a.planCmd(), a.scaleCmd(), a.suspendCmd(), a.resumeCmd(),
		a.restartCmd(), a.historyCmd(), a.rollbackCmd(), a.deleteCmd())
	add(look, a.statusCmd(), a.getCmd(), a.eventsCmd(), a.watchCmd(), a.logsCmd(), a.routerCmd(), a.doctorCmd())
	add(act, a.waitCmd(), a.chatCmd(), a.confirmDeletionsCmd(), a.sweepCmd(), a.backupCmd(), a.restoreCmd(), a.credsCmd())
	add(offline, a.renderCmd(), a.policyCmd(), a.convertCmd(), a.schemaCmd(), a.explainCmd(), a.contextCmd(), a.versionCmd())
	narrowHelp(root)
	offerFlag(root, "server", a.offering(a.serverNames))
	offerFlag(root, "context", completeContexts)
	help := a.helpCmd()
	help.GroupID = offline
	root.SetHelpCommand(help)
	root.SetCompletionCommandGroupID(offline)
	refuseUnknownShells(root)
	return root
}

// Columns of a screen that does not say how many it has, and the fewest that are
// written for.
const (
	defaultWidth = 80
	narrowest    = 40
)

// isTerminal reports whether a stream is a terminal, and therefore a person's.
func isTerminal(stream any) bool {
	f := fileOf(stream)
	return f != nil && term.IsTerminal(int(f.Fd()))
}

// fileOf is the file behind a stream; nil where there is none.
func fileOf(stream any) *os.File {
	switch s := stream.(type) {
	case *output:
		return fileOf(s.to)
	case *screen.Writer:
		return s.File()
	case *os.File:
		return s
	}
	return nil
}

// width is the number of columns that prose is written in: the terminal's, else 80.
func (a *app) width() int {
	if w := columns(a.out); w > 0 {
		return w
	}
	return defaultWidth
}

// columns is the width that a table on a stream must keep to: the terminal's. In a
// pipe there is none, 0: whoever reads it there wants each row on one line.
func columns(stream any) int {
	f := fileOf(stream)
	if f == nil || !isTerminal(f) {
		return 0
	}
	if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
		return max(w, narrowest)
	}
	return defaultWidth
}

// progress tells a person who waits what goes on; scripts never see it.
func (a *app) progress(format string, args ...any) {
	if isTerminal(a.err) {
		fmt.Fprintf(a.err, format+"\n", args...)
	}
}
