package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"dynctl/actors"
	"dynctl/cmd/dynctl/internal/contexts"
	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/cmd/dynctl/internal/prose"
	"dynctl/events"
	"dynctl/state"
	"dynctl/state/kv"
)

// finding is one item of `dynctl doctor -o json`.
type finding struct {
	// Check is one of nats, store, events, clock, reconciler, agent, versions,
	// values, binaries, ray, gpus, ports, specs, frontend. A check may have several findings.
	Check string `json:"check"`
	// Result is ok, warn, fail, or skip (what it rests on is missing).
	Result  string `json:"result"`
	Message string `json:"message"`
	// Next says what to do; empty where nothing is wrong.
	Next string `json:"next"`
}

const (
	resultOK   = "ok"
	resultWarn = "warn"
	resultFail = "fail"
	resultSkip = "skip"
)

// Checks in the order in which they are printed: each rests on those before it.
const (
	checkNATS       = "nats"
	checkStore      = "store"
	checkEvents     = "events"
	checkClock      = "clock"
	checkReconciler = "reconciler"
	checkAgent      = "agent"
	checkVersions   = "versions"
	checkValues     = "values"
	checkBinaries   = "binaries"
	checkRay        = "ray"
	checkGPUs       = "gpus"
	checkPorts      = "ports"
	checkSpecs      = "specs"
	checkFrontend   = "frontend"
)

var checks = []string{
	checkNATS, checkStore, checkEvents, checkClock, checkReconciler, checkAgent, checkVersions,
	checkValues, checkBinaries, checkRay, checkGPUs, checkPorts, checkSpecs, checkFrontend,
}

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
		d := doctor{app: a}
		err := d.examine(cmd.Context())
		if len(d.findings) == 0 {
			return err
		}
		d.complete()
		if out.value == formatTable {
			d.print()
		} else if err := a.encode(out.value, d.findings); err != nil {
			return err
		}
		failed := func(f finding) bool { return f.Result == resultFail }
		if err == nil && slices.ContainsFunc(d.findings, failed) {
			return errDifference
		}
		return err
	}
	return cmd
}

// doctor collects findings.
type doctor struct {
	*app
	client   *kv.Client
	findings []finding
	// missing is what the checks that were not made rest on.
	missing string
	// skew is how far the local clock is ahead of the store's.
	skew time.Duration
	// storeFull: a reconciler finds that the store takes no writes, or soon none.
	storeFull bool
	// What the checks have read so far; nil or empty: nothing could be.
	lease   *kv.Lease
	agent   *state.Agent
	nodes   []state.Node
	units   []state.Unit
	servers []objectInfo
	models  []objectInfo
}

func (d *doctor) found(check, result, next, format string, args ...any) {
	if result == resultOK {
		next = ""
	}
	d.findings = append(d.findings, finding{check, result, fmt.Sprintf(format, args...), next})
}

// storeNow is the time on the clock of the store, which is the one that every
// stored time is on.
func (d *doctor) storeNow() time.Time { return d.now().Add(-d.skew) }

// examine makes the checks. Its error ends the program: that of a wrong command
// line without findings, the exit code for a NATS out of reach with one.
func (d *doctor) examine(ctx context.Context) error {
	conn, err := d.conn.resolve()
	if err != nil {
		return err
	}
	d.client, err = d.connect(ctx)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		d.unreachable(conn, err)
		d.versions()
		return exit.Silent(exit.Unreachable)
	}
	defer d.client.Close()
	d.found(checkNATS, resultOK, "", "%s answers", redacted(conn.NATSURL))
	d.client.OnUnreadable(func(kv.Unreadable) {}) // values names them
	if d.store(ctx) {
		d.stream(ctx)
		d.reconciler(ctx)
		d.askAgent(ctx)
		d.readAll(ctx)
		d.values(ctx)
		d.binaries()
		d.ray()
		d.gpus()
		d.ports()
		d.specs()
		d.frontends(ctx)
	}
	d.versions()
	return nil
}

func (d *doctor) unreachable(conn contexts.Connection, err error) {
	var e *exit.Error
	if errors.As(err, &e) && e.Unwrap() != nil {
		err = e.Unwrap()
	}
	next := "start the reconciler (`make up`), or say where NATS is: --nats-url, --context or $" + envNATSURL
	if errors.Is(err, nats.ErrAuthorization) {
		next = "give the user, token or credentials file of this NATS in a context (--context)"
	}
	d.missing = "NATS"
	d.found(checkNATS, resultFail, next, "cannot reach NATS at %s: %v", redacted(conn.NATSURL), err)
}

func (d *doctor) store(ctx context.Context) bool {
	id, err := d.client.StoreID(ctx)
	if err != nil {
		d.missing = "the store"
		d.found(checkStore, resultFail, "start the reconciler (`make up`): it makes the store", "no store here: %v", err)
		return false
	}
	d.found(checkStore, resultOK, "", "store %s", id)
	if c, ok := d.diskCheck(ctx, d.client); ok {
		d.disk(c)
	}
	return true
}

// What to do about the store. The text of the check, which goes before, says what is
// wrong there and the way out of it: a full disk and a bucket at its bound have others.
const (
	nextStoreFull  = "do what this says, or move the store to another disk: docs/troubleshooting.md#storefull"
	nextStoreBound = "do what this says; docs/limits.md has the bounds of the store"
	// nextNotStored is for what is missing because nothing can be stored.
	nextNotStored = "see to the store first (the check " + checkStore + "): while it takes no writes nothing that says so can be stored"
)

// disk tells what a reconciler finds of the disk and the bounds of the store.
func (d *doctor) disk(c kv.Check) {
	switch {
	case c.Reason == actors.CondStoreFull:
		d.storeFull = true
		d.found(checkStore, resultFail, nextStoreFull, "%s", c.Text)
	case c.State != resultOK:
		d.found(checkStore, resultWarn, nextStoreBound, "%s", c.Text)
	default:
		d.found(checkStore, resultOK, "", "%s", c.Text)
	}
}

// maxSkew is from where on clocks that disagree are told.
const maxSkew = 2 * time.Second

// stream checks the event stream and, by the time in the server's answer, the
// local clock.
func (d *doctor) stream(ctx context.Context) {
	asked := d.now()
	stream, err := d.client.JetStream().Stream(ctx, events.Stream)
	if err != nil {
		d.found(checkEvents, resultFail, "start the reconciler: it makes the stream", "no stream %s: %v", events.Stream, err)
		return
	}
	info := stream.CachedInfo()
	d.found(checkEvents, resultOK, "", "%s, %d MiB", prose.Plural(int(info.State.Msgs), "event"), info.State.Bytes>>20)
	took := d.now().Sub(asked)
	d.skew = asked.Add(took / 2).Sub(info.TimeStamp)
	// The answer may have been made at any moment of the request.
	if apart := d.skew.Abs() - took/2; apart > maxSkew {
		word := "ahead of"
		if d.skew < 0 {
			word = "behind"
		}
		d.found(checkClock, resultWarn, "set the clock of this machine, or of that of NATS (timedatectl set-ntp true); until then dynctl reckons ages wrongly",
			"the clock here is %s %s that of NATS", prose.Span(d.skew.Abs()), word)
		return
	}
	d.found(checkClock, resultOK, "", "less than %s apart from that of NATS", maxSkew)
}

func (d *doctor) reconciler(ctx context.Context) {
	lease, err := d.client.GetLeader(ctx)
	if err != nil {
		next := "start it (`make up`); what runs goes on without it, but nothing heals"
		if d.storeFull { // it is a reconciler that said so
			next = nextNotStored
		}
		d.found(checkReconciler, resultFail, next, "no reconciler leads: %v", err)
		return
	}
	d.lease = &lease
	d.found(checkReconciler, resultOK, "", "%s leads, epoch %d, for %s", lease.Holder, lease.Epoch, prose.Age(d.storeNow(), lease.Since))
}

func (d *doctor) askAgent(ctx context.Context) {
	next := "see the Ray dashboard's jobs, and that --advertise-nats-url can be reached from the Ray head"
	if d.storeFull {
		next = nextNotStored + "; if it is not heard after that, " + next
	}
	if d.lease != nil && d.lease.AgentFailure != nil {
		d.agentFails(*d.lease.AgentFailure)
	}
	if d.lease != nil && d.lease.RayNotice != nil {
		d.found(checkRay, resultWarn, d.lease.RayNotice.Way, "%s: %s", d.lease.RayNotice.Reason, d.lease.RayNotice.Message)
	}
	agent, err := d.client.GetAgent(ctx)
	if err != nil {
		d.found(checkAgent, resultFail, next, "no agent has reported: %v", err)
		return
	}
	d.agent = &agent
	switch {
	case d.storeNow().Sub(agent.At) > agentSilence:
		d.found(checkAgent, resultFail, next, "agent %d has been silent for %s", agent.Incarnation, prose.Age(d.storeNow(), agent.At))
	case !agent.Synced:
		d.found(checkAgent, resultWarn, "wait: it reads what Ray holds", "agent %d is not synced yet", agent.Incarnation)
	default:
		d.found(checkAgent, resultOK, "", "agent %d at %s, Ray session %s", agent.Incarnation, agent.NodeIP, agent.Session)
	}
}

// agentFails tells why no agent stays, as the reconciler finds it.
func (d *doctor) agentFails(f state.AgentFailure) {
	next := f.Way
	if f.Job != "" {
		next = strings.TrimPrefix(next+"; the whole log: `ray job logs "+f.Job+"`", "; ")
	}
	d.found(checkAgent, resultFail, orThe(next, "see the Ray dashboard's jobs"), "%s: %s", actors.FailureReason(f), f.Message)
}

// values names what stands in the buckets and cannot be read.
func (d *doctor) values(ctx context.Context) {
	bad, err := d.client.Unreadable(ctx)
	if err != nil {
		d.found(checkValues, resultFail, "see that the user of this context may read the buckets", "%v", err)
		return
	}
	for i, u := range bad {
		if i == maxLeftOut {
			d.found(checkValues, resultWarn, "", "and %d more", len(bad)-i)
			break
		}
		next := "its owner writes over it within seconds: if it stays, see whether the reconciler and the agent run; find out who may write to " + u.Bucket
		if u.Bucket == kv.BucketSpecs {
			next = "delete it (nats kv del " + u.Bucket + " KEY), or write a spec there; find out who wrote it"
		}
		d.found(checkValues, resultWarn, next, "set aside: %s", u)
	}
	if len(bad) == 0 {
		d.found(checkValues, resultOK, "", "every value can be read")
	}
}

// readAll reads what the other checks look at.
func (d *doctor) readAll(ctx context.Context) {
	var err error
	if d.nodes, err = d.client.ListNodes(ctx); err != nil {
		d.found(checkRay, resultFail, "see the log of the agent's Ray job", "%v", err)
	}
	if d.units, err = d.client.ListUnits(ctx); err != nil {
		d.found(checkPorts, resultFail, "see the log of the agent's Ray job", "%v", err)
	}
	for _, x := range []struct {
		kind string
		into *[]objectInfo
	}{{state.KindServer, &d.servers}, {state.KindModel, &d.models}} {
		if *x.into, err = d.objects(ctx, d.client, x.kind); err != nil {
			d.found(checkSpecs, resultFail, "see the log of the reconciler", "%v", err)
		}
	}
}

// complete names the checks that were not made, and puts all into their order.
func (d *doctor) complete() {
	for _, name := range checks {
		made := func(f finding) bool { return f.Check == name }
		if !slices.ContainsFunc(d.findings, made) {
			d.found(name, resultSkip, "", "not checked: it needs %s", orThe(d.missing, "what failed above"))
		}
	}
	slices.SortStableFunc(d.findings, func(a, b finding) int {
		return slices.Index(checks, a.Check) - slices.Index(checks, b.Check)
	})
}

func orThe(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

func (d *doctor) print() {
	mark := map[string]string{
		resultOK: d.style.good("ok"), resultWarn: d.style.warn("warn"), resultFail: d.style.bad("fail"), resultSkip: d.style.dim("skip"),
	}
	var t table
	for _, f := range d.findings {
		text := f.Message
		if f.Next != "" {
			text += "\nnext: " + f.Next
		}
		t.add(mark[f.Result], f.Check, text)
	}
	for _, line := range t.lines(d.width()) {
		fmt.Fprintln(d.out, line)
	}
	if n := len(d.findings) - d.count(resultOK); n == 0 {
		fmt.Fprintln(d.out, "\nall is well")
	} else {
		fmt.Fprintf(d.out, "\n%d failed, %s, %d not checked\n", d.count(resultFail), prose.Plural(d.count(resultWarn), "warning"), d.count(resultSkip))
	}
}

func (d *doctor) count(result string) (n int) {
	for _, f := range d.findings {
		if f.Result == result {
			n++
		}
	}
	return n
}
