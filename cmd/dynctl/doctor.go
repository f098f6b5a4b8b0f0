package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/spf13/cobra"

	"dynctl/cmd/dynctl/internal/doctor"
	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/state"
	"dynctl/state/kv"
)

const doctorLong = `Check everything that serving rests on: NATS and the store, the clocks, the
reconciler, the agent, Ray, the versions, the programs that the nodes need, GPUs,
ports, the specs and the frontends. For each fault it says what to do.

Exit code 1: something failed (warnings alone: 0); 6: NATS cannot be reached.`

func (a *app) doctorCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "doctor",
		Short:   "Check everything that serving rests on",
		Long:    doctorLong,
		Example: "  dynctl doctor\n  dynctl doctor -o json",
		Args:    cobra.NoArgs,
	}
	out := outputFlag(cmd, formatTable, formatJSON, formatYAML)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		findings, err := a.examine(cmd.Context())
		if len(findings) == 0 {
			return err
		}
		if out.value == formatTable {
			a.printFindings(findings)
		} else if err := a.encode(out.value, findings); err != nil {
			return err
		}
		if err == nil && countResult(findings, doctor.Fail) > 0 {
			return errDifference
		}
		return err
	}
	return cmd
}

// examine makes the checks. Its error ends the program: that of a wrong command
// line without findings, the exit code for a NATS out of reach with them.
func (a *app) examine(ctx context.Context) ([]doctor.Finding, error) {
	conn, err := a.conn.resolve()
	if err != nil {
		return nil, err
	}
	d := &doctor.Doctor{Now: a.now, Address: redacted(conn.NATSURL), Objects: a.examined(), Remedies: remedies}
	client, err := a.connect(ctx)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return d.Unreachable(err), exit.Silent(exit.Unreachable)
	}
	defer client.Close()
	return d.Examine(ctx, client), nil
}

// examined are the objects of a kind as doctor looks at them. What is stored is read once.
func (a *app) examined() func(context.Context, *kv.Client, string) ([]doctor.Object, error) {
	var once sync.Once
	var read stored
	var err error
	return func(ctx context.Context, c *kv.Client, kind string) ([]doctor.Object, error) {
		once.Do(func() { read, err = readStored(ctx, c) })
		var out []doctor.Object
		for _, o := range a.objectsOf(read, kind) {
			out = append(out, doctor.Object{Name: o.Name, Server: o.Server, Document: o.Document, Status: o.Status})
		}
		return out, err
	}
}

func (a *app) printFindings(findings []doctor.Finding) {
	mark := map[string]string{
		doctor.OK: a.style.good("ok"), doctor.Warn: a.style.warn("warn"), doctor.Fail: a.style.bad("fail"), doctor.Skip: a.style.dim("skip"),
	}
	var t table
	for _, f := range findings {
		text := f.Message
		if f.Next != "" {
			text += "\nnext: " + f.Next
		}
		t.add(mark[f.Result], f.Check, text)
	}
	for _, line := range t.lines(a.width()) {
		fmt.Fprintln(a.out, line)
	}
	if countResult(findings, doctor.OK) == len(findings) {
		fmt.Fprintln(a.out, "\nall is well")
		return
	}
	fmt.Fprintf(a.out, "\n%d failed, %s, %d not checked\n", countResult(findings, doctor.Fail),
		state.Counted(countResult(findings, doctor.Warn), "warning"), countResult(findings, doctor.Skip))
}

func countResult(findings []doctor.Finding, result string) (n int) {
	for _, f := range findings {
		if f.Result == result {
			n++
		}
	}
	return n
}
