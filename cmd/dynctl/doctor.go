package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dynctl/cmd/internal/verdict"
	"dynctl/events"
	"dynctl/state"
	"dynctl/state/kv"
)

// finding is one item of `dynctl doctor -o json`.
type finding struct {
	Check string `json:"check"`
	// Result is ok, warn or fail.
	Result  string `json:"result"`
	Message string `json:"message"`
	Next    string `json:"next"`
}

const (
	resultOK   = "ok"
	resultWarn = "warn"
	resultFail = "fail"
)

const doctorLong = `Check everything that serving rests on: NATS, the store, the reconciler, the
agent, the Ray nodes, the specs and the frontends. For each fault it says what to
do.

Exit code 1: something failed; 6: NATS cannot be reached.`

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
		return a.withClient(cmd.Context(), func(c *kv.Client) error {
			d := doctor{app: a, client: c}
			d.examine(cmd.Context())
			if out.value != formatTable {
				if err := a.encode(out.value, d.findings); err != nil {
					return err
				}
			} else {
				d.print()
			}
			for _, f := range d.findings {
				if f.Result == resultFail {
					return errDifference
				}
			}
			return nil
		})
	}
	return cmd
}

// doctor collects findings.
type doctor struct {
	*app
	client   *kv.Client
	findings []finding
}

func (d *doctor) found(check, result, next, format string, args ...any) {
	if result == resultOK {
		next = ""
	}
	d.findings = append(d.findings, finding{check, result, fmt.Sprintf(format, args...), next})
}

func (d *doctor) examine(ctx context.Context) {
	conn, _ := d.conn.resolve()
	if err := d.client.Ping(ctx); err != nil {
		d.found("nats", resultFail, "see the log of the reconciler", "%s does not answer: %v", redacted(conn.NATSURL), err)
		return
	}
	d.found("nats", resultOK, "", "%s answers", redacted(conn.NATSURL))
	id, err := d.client.StoreID(ctx)
	if err != nil {
		d.found("store", resultFail, "start the reconciler (`make up`): it makes the store", "no store here: %v", err)
		return
	}
	d.found("store", resultOK, "", "store %s", id)
	d.stream(ctx)
	d.leader(ctx)
	d.agent(ctx)
	d.nodes(ctx)
	d.objects(ctx)
}

func (d *doctor) stream(ctx context.Context) {
	stream, err := d.client.JetStream().Stream(ctx, events.Stream)
	if err != nil {
		d.found("events", resultFail, "start the reconciler: it makes the stream", "no stream %s: %v", events.Stream, err)
		return
	}
	info := stream.CachedInfo()
	d.found("events", resultOK, "", "%d events, %d MiB", info.State.Msgs, info.State.Bytes>>20)
}

func (d *doctor) leader(ctx context.Context) {
	lease, err := d.client.GetLeader(ctx)
	if err != nil {
		d.found("reconciler", resultFail, "start it (`make up`); what runs goes on without it, but nothing heals", "no reconciler leads: %v", err)
		return
	}
	d.found("reconciler", resultOK, "", "%s leads, epoch %d, for %s", lease.Holder, lease.Epoch, age(d.now(), lease.Since))
}

func (d *doctor) agent(ctx context.Context) {
	const next = "see the Ray dashboard's jobs, and that --advertise-nats-url can be reached from the Ray head"
	agent, err := d.client.GetAgent(ctx)
	switch {
	case err != nil:
		d.found("agent", resultFail, next, "no agent has reported: %v", err)
	case d.now().Sub(agent.At) > agentSilence:
		d.found("agent", resultFail, next, "agent %d has been silent for %s", agent.Incarnation, age(d.now(), agent.At))
	case !agent.Synced:
		d.found("agent", resultWarn, "wait: it reads what Ray holds", "agent %d is not synced yet", agent.Incarnation)
	default:
		d.found("agent", resultOK, "", "agent %d at %s, Ray session %s", agent.Incarnation, agent.NodeIP, agent.Session)
	}
}

func (d *doctor) nodes(ctx context.Context) {
	nodes, err := d.client.ListNodes(ctx)
	if err != nil {
		d.found("nodes", resultFail, "see the agent", "%v", err)
		return
	}
	alive, gpus := 0, 0
	for _, n := range nodes {
		if n.Alive {
			alive++
			gpus += n.GPUs
		}
	}
	switch {
	case alive == 0:
		d.found("nodes", resultFail, "start Ray, or point the reconciler at it (--ray-address)", "no Ray node is alive")
	case gpus == 0:
		d.found("nodes", resultWarn, "add GPU nodes; only the mocker runs without", "%s, no GPU", plural(alive, "node"))
	default:
		d.found("nodes", resultOK, "", "%s, %s", plural(alive, "node"), plural(gpus, "GPU"))
	}
}

// objects checks the specs and the frontends.
func (d *doctor) objects(ctx context.Context) {
	rejected := 0
	for _, kind := range []string{state.KindServer, state.KindModel} {
		objects, err := d.app.objects(ctx, d.client, kind)
		if err != nil {
			d.found("specs", resultFail, "", "%v", err)
			return
		}
		for _, o := range objects {
			if o.Status == nil {
				continue
			}
			if c, ok := o.Status.Condition(state.CondAccepted); ok && c.Status == state.StatusFalse {
				rejected++
				d.found("specs", resultWarn, "correct it with `dynctl set`, or `dynctl rollback`", "%s: %s: %s", verdict.Ref(o.Status), c.Reason, firstLine(c.Message))
			}
			if kind == state.KindServer && o.Status.Endpoint != "" {
				d.frontend(ctx, o)
			}
		}
	}
	if rejected == 0 {
		d.found("specs", resultOK, "", "none is rejected")
	}
}

func (d *doctor) frontend(ctx context.Context, o objectInfo) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	url := strings.TrimRight(o.Status.Endpoint, "/") + "/models"
	next := "see `dynctl status server/" + o.Name + "`"
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		d.found("frontend", resultFail, next, "server %s: %v", o.Name, err)
		return
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		d.found("frontend", resultFail, next, "server %s: %v", o.Name, err)
		return
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		d.found("frontend", resultFail, next, "server %s: %s answers %s", o.Name, url, response.Status)
		return
	}
	d.found("frontend", resultOK, "", "server %s answers at %s", o.Name, o.Status.Endpoint)
}

func (d *doctor) print() {
	mark := map[string]string{
		resultOK: d.style.good("ok"), resultWarn: d.style.warn("warn"), resultFail: d.style.bad("fail"),
	}
	for _, f := range d.findings {
		var t table
		t.add(fmt.Sprintf("%s%s", mark[f.Result], strings.Repeat(" ", 6-len(f.Result))), fmt.Sprintf("%-10s", f.Check), f.Message)
		t.write(d.out)
		if f.Next != "" {
			fmt.Fprintln(d.out, wrap("next: "+f.Next, strings.Repeat(" ", 20), d.width()))
		}
	}
}
