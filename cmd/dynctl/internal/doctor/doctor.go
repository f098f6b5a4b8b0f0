// Package doctor checks everything that serving rests on, and says for each fault what to
// do.
package doctor

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"dynctl/actors"
	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/cmd/dynctl/internal/prose"
	"dynctl/cmd/internal/verdict"
	"dynctl/events"
	"dynctl/state"
	"dynctl/state/kv"
)

// Finding is one item of `dynctl doctor -o json`.
type Finding struct {
	// Check is one of nats, store, events, clock, reconciler, agent, versions,
	// values, binaries, dataplane, ray, gpus, ports, specs, frontend. A check may have several findings.
	Check string `json:"check"`
	// Result is ok, warn, fail, or skip (what it rests on is missing).
	Result  string `json:"result"`
	Message string `json:"message"`
	// Next says what to do; empty where nothing is wrong.
	Next string `json:"next"`
}

// Results.
const (
	OK   = "ok"
	Warn = "warn"
	Fail = "fail"
	Skip = "skip" // what it rests on is missing
)

// Checks in the order in which they are printed: each rests on those before it.
const (
	CheckNATS       = "nats"
	CheckStore      = "store"
	CheckEvents     = "events"
	CheckClock      = "clock"
	CheckReconciler = "reconciler"
	CheckAgent      = "agent"
	CheckVersions   = "versions"
	CheckValues     = "values"
	CheckBinaries   = "binaries"
	CheckDataPlane  = "dataplane"
	CheckRay        = "ray"
	CheckGPUs       = "gpus"
	CheckPorts      = "ports"
	CheckSpecs      = "specs"
	CheckFrontend   = "frontend"
)

// Checks are all of them, in their order.
var Checks = []string{
	CheckNATS, CheckStore, CheckEvents, CheckClock, CheckReconciler, CheckAgent, CheckVersions,
	CheckValues, CheckBinaries, CheckDataPlane, CheckRay, CheckGPUs, CheckPorts, CheckSpecs, CheckFrontend,
}

// Object is what doctor looks at of a server or a model.
type Object struct {
	Name, Server string
	Document     json.RawMessage // null: there is none
	Status       *state.Status   // nil: there is none yet
}

// Doctor makes the checks once.
type Doctor struct {
	Now     func() time.Time
	Address string // of NATS, without its secrets
	// Objects reads the servers or the models, by their kind.
	Objects func(ctx context.Context, c *kv.Client, kind string) ([]Object, error)
	// Remedies are what to do, by the reason of a condition.
	Remedies map[string]string

	reads    *reads
	findings []Finding
	// missing is what the checks that were not made rest on.
	missing string
	// skew is how far the local clock is ahead of the store's.
	skew time.Duration
	// storeFull: a reconciler finds that the store takes no writes.
	storeFull bool
	// What the checks have read so far; nil or empty: nothing could be.
	lease   *kv.Lease
	agent   *state.Agent
	nodes   []state.Node
	units   []*state.Unit
	servers []Object
	models  []Object
}

func (d *Doctor) found(check, result, next, format string, args ...any) {
	if result == OK {
		next = ""
	}
	d.findings = append(d.findings, Finding{check, result, fmt.Sprintf(format, args...), next})
}

// storeNow is the time on the clock of the store, which is the one that every
// stored time is on.
func (d *Doctor) storeNow() time.Time { return d.Now().Add(-d.skew) }

// Examine makes the checks, in the order of their names.
func (d *Doctor) Examine(ctx context.Context, client *kv.Client) []Finding {
	client.OnUnreadable(func(kv.Unreadable) {}) // values names them
	ctx, cancel := context.WithCancel(ctx)
	d.reads = d.begin(ctx, client)
	defer d.reads.under.Wait()
	defer cancel()
	d.found(CheckNATS, OK, "", "%s answers", d.Address)
	d.certificate(client)
	if d.store() {
		d.stream()
		d.reconciler()
		d.askAgent()
		d.readAll()
		d.values()
		d.binaries()
		d.dataPlane()
		d.ray()
		d.gpus()
		d.ports()
		d.specs()
		d.frontends(ctx)
	}
	d.versions()
	d.complete()
	return d.findings
}

// Unreachable are the findings where NATS cannot be reached, with why.
func (d *Doctor) Unreachable(err error) []Finding {
	var e *exit.Error
	if errors.As(err, &e) && e.Unwrap() != nil {
		err = e.Unwrap()
	}
	next := "start the reconciler (`make up`), or say where NATS is: --nats-url, --context or $DYNCTL_NATS_URL"
	if errors.Is(err, nats.ErrAuthorization) {
		next = "give a credential of this NATS in a context (--context): " + kv.WayIn
	}
	d.missing = "NATS"
	d.found(CheckNATS, Fail, next, "cannot reach NATS at %s: %v", d.Address, err)
	d.versions()
	d.complete()
	return d.findings
}

func (d *Doctor) store() bool {
	id, err := d.reads.storeID()
	if err != nil {
		d.missing = "the store"
		d.found(CheckStore, Fail, "start the reconciler (`make up`): it makes the store", "no store here: %v", err)
		return false
	}
	d.found(CheckStore, OK, "", "store %s", id)
	answers, _ := d.reads.checks() // whoever cannot be asked tells nothing: what else is asked says why
	if c, ok := Disk(answers); ok {
		d.disk(c)
	}
	d.doors()
	return true
}

// What to do about the store. The text of the check, which goes before, says what is
// wrong there and the way out of it: a full disk and a bucket at its bound have others.
const (
	nextStoreSoon  = "free some space there; nothing is refused yet: docs/troubleshooting.md#storefull"
	nextStoreFull  = "do what this says, or move the store to another disk: docs/troubleshooting.md#storefull"
	nextStoreBound = "do what this says; docs/limits.md has the bounds of the store"
	// nextNotStored is for what is missing because nothing can be stored.
	nextNotStored = "see to the store first (the check " + CheckStore + "): while it takes no writes nothing that says so can be stored"
)

// disk tells what a reconciler finds of the disk and the bounds of the store.
func (d *Doctor) disk(c kv.Check) {
	switch {
	case c.Reason == actors.CondStoreFull && c.Soon:
		d.found(CheckStore, Warn, nextStoreSoon, "%s", c.Text)
	case c.Reason == actors.CondStoreFull:
		d.storeFull = true
		d.found(CheckStore, Fail, nextStoreFull, "%s", c.Text)
	case c.State != OK:
		d.found(CheckStore, Warn, nextStoreBound, "%s", c.Text)
	default:
		d.found(CheckStore, OK, "", "%s", c.Text)
	}
}

// maxSkew is from where on clocks that disagree are told.
const maxSkew = 2 * time.Second

// stream checks the event stream and, by the time in the server's answer, the
// local clock.
func (d *Doctor) stream() {
	seen, err := d.reads.stream()
	if errors.Is(err, nats.ErrNoResponders) { // the store was found all the same
		d.found(CheckEvents, Skip, "", "not checked: this user reads events through the reconciler")
		return
	}
	if err != nil {
		d.found(CheckEvents, Fail, "start the reconciler: it makes the stream", "no stream %s: %v", events.Stream, err)
		return
	}
	info, took := seen.info, seen.came.Sub(seen.asked)
	d.found(CheckEvents, OK, "", "%s, %d MiB", state.Counted(int(info.State.Msgs), "event"), info.State.Bytes>>20)
	d.skew = seen.asked.Add(took / 2).Sub(info.TimeStamp)
	// The answer may have been made at any moment of the request.
	if apart := d.skew.Abs() - took/2; apart > maxSkew {
		word := "ahead of"
		if d.skew < 0 {
			word = "behind"
		}
		d.found(CheckClock, Warn, "set the clock of this machine, or of that of NATS (timedatectl set-ntp true); until then dynctl reckons ages wrongly",
			"the clock here is %s %s that of NATS", prose.Span(d.skew.Abs()), word)
		return
	}
	d.found(CheckClock, OK, "", "less than %s apart from that of NATS", maxSkew)
}

func (d *Doctor) reconciler() {
	lease, err := d.reads.lease()
	if err != nil {
		next := "start it (`make up`); what runs goes on without it, but nothing heals"
		if d.storeFull { // it is a reconciler that said so
			next = nextNotStored
		}
		d.found(CheckReconciler, Fail, next, "no reconciler leads: %v", err)
		return
	}
	d.lease = &lease
	d.found(CheckReconciler, OK, "", "%s leads, epoch %d, for %s", lease.Holder, lease.Epoch, prose.Age(d.storeNow(), lease.Since))
}

func (d *Doctor) askAgent() {
	next := "see the Ray dashboard's jobs, and that --advertise-nats-url can be reached from the Ray head"
	if d.storeFull {
		next = nextNotStored + "; if it is not heard after that, " + next
	}
	if d.lease != nil && d.lease.AgentFailure != nil {
		d.agentFails(*d.lease.AgentFailure)
	}
	if d.lease != nil && d.lease.RayNotice != nil {
		d.found(CheckRay, Warn, d.lease.RayNotice.Way, "%s: %s", d.lease.RayNotice.Reason, d.lease.RayNotice.Message)
	}
	agent, err := d.reads.agent()
	if err != nil {
		d.found(CheckAgent, Fail, next, "no agent has reported: %v", err)
		return
	}
	d.agent = &agent
	switch {
	case d.storeNow().Sub(agent.At) > verdict.AgentSilence:
		d.found(CheckAgent, Fail, next, "agent %d has been silent for %s", agent.Incarnation, prose.Age(d.storeNow(), agent.At))
	case !agent.Synced:
		d.found(CheckAgent, Warn, "wait: it reads what Ray holds", "agent %d is not synced yet", agent.Incarnation)
	default:
		d.found(CheckAgent, OK, "", "agent %d at %s, Ray session %s", agent.Incarnation, agent.NodeIP, agent.Session)
	}
	if d.lease != nil && d.lease.Standby != nil {
		d.standby(*d.lease.Standby)
	}
}

// agentFails tells why no agent stays, as the reconciler finds it.
func (d *Doctor) agentFails(f state.AgentFailure) {
	next := f.Way
	if f.Job != "" {
		next = strings.TrimPrefix(next+"; the whole log: `ray job logs "+f.Job+"`", "; ")
	}
	result, text := Fail, actors.FailureReason(f)
	if f.Up {
		result, text = Warn, text+", with an agent at work in between"
	}
	d.found(CheckAgent, result, cmp.Or(next, "see the Ray dashboard's jobs"), "%s: %s", text, f.Message)
}

// maxValues bounds how many values are named that cannot be read.
const maxValues = 10

// values names what stands in the buckets and cannot be read.
func (d *Doctor) values() {
	bad, err := d.reads.values()
	if err != nil {
		d.found(CheckValues, Fail, "see that the user of this context may read the buckets", "%v", err)
		return
	}
	for i, u := range bad {
		if i == maxValues {
			d.found(CheckValues, Warn, "", "and %d more", len(bad)-i)
			break
		}
		next := "its owner writes over it within seconds: if it stays, see whether the reconciler and the agent run; find out who may write to " + u.Bucket
		if u.Bucket == kv.BucketSpecs {
			next = "delete it (nats kv del " + u.Bucket + " KEY), or write a spec there; find out who wrote it"
		}
		d.found(CheckValues, Warn, next, "set aside: %s", u)
	}
	if len(bad) == 0 {
		d.found(CheckValues, OK, "", "every value can be read")
	}
}

// readAll takes what the other checks look at.
func (d *Doctor) readAll() {
	var err error
	if d.nodes, err = d.reads.nodes(); err != nil {
		d.found(CheckRay, Fail, "see the log of the agent's Ray job", "%v", err)
	}
	if d.units, err = d.reads.units(); err != nil {
		d.found(CheckPorts, Fail, "see the log of the agent's Ray job", "%v", err)
	}
	for _, x := range []struct {
		read func() ([]Object, error)
		into *[]Object
	}{{d.reads.servers, &d.servers}, {d.reads.models, &d.models}} {
		if *x.into, err = x.read(); err != nil {
			d.found(CheckSpecs, Fail, "see the log of the reconciler", "%v", err)
		}
	}
}

// complete names the checks that were not made, and puts all into their order.
func (d *Doctor) complete() {
	for _, name := range Checks {
		made := func(f Finding) bool { return f.Check == name }
		if !slices.ContainsFunc(d.findings, made) {
			d.found(name, Skip, "", "not checked: it needs %s", cmp.Or(d.missing, "what failed above"))
		}
	}
	slices.SortStableFunc(d.findings, func(a, b Finding) int {
		return slices.Index(Checks, a.Check) - slices.Index(Checks, b.Check)
	})
}
