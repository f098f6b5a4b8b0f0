package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dynctl/actors"
	"dynctl/cmd/dynctl/internal/doctor"
	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/cmd/dynctl/internal/prose"
	"dynctl/cmd/dynctl/internal/together"
	"dynctl/cmd/internal/verdict"
	"dynctl/state"
	"dynctl/state/kv"
)

func (a *app) statusCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status [model/NAME|server/NAME...]",
		Short: "Show what serves, what does not, why, and what comes next",
		Long: `Show on one screen what serves, what does not, why, since when, and what comes
next. For one object also its conditions, units and last exit.`,
		Example:           "  dynctl status\n  dynctl status model/qwen3-8b\n  dynctl status -o json",
		ValidArgsFunction: a.completing(state.KindModel, state.KindServer),
	}
	out := outputFlag(cmd, formatTable, formatJSON, formatYAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.withClient(cmd.Context(), func(c *kv.Client) error {
			ctx := cmd.Context()
			v, err := a.overview(ctx, c)
			if err != nil {
				return err
			}
			if len(args) > 0 {
				if err := v.narrow(a, args); err != nil {
					return err
				}
			}
			if out.value != formatTable {
				return a.encode(out.value, v.info())
			}
			for _, line := range v.lines(a.style, a.width()) {
				fmt.Fprintln(a.out, line)
			}
			return nil
		})
	}
	return cmd
}

// overview is everything that status shows, at one moment.
type overview struct {
	now     time.Time
	keys    []state.Key // of all objects
	servers []objectInfo
	models  []objectInfo
	nodes   []state.Node
	agent   *state.Agent
	// disk is what the reconciler finds of a disk that is full; empty: it is not.
	disk string
	// noLeader is what it means that no reconciler leads; empty: one does, or it is not known.
	noLeader string
	// failure is why no agent stays; empty: one does, or nobody says so.
	failure string
	// between: an agent does its work between two failures.
	between bool
	// ray is what somebody should look at in the Ray cluster; empty: nothing.
	ray string
	// standby is the agent that is to wait beside the one in charge; nil: none is to.
	standby *state.StandbyAgent
	// details: the objects were asked for by name.
	details bool
}

func (a *app) overview(ctx context.Context, c *kv.Client) (*overview, error) {
	v := &overview{now: a.now()}
	var reads together.Reads
	defer reads.Wait()
	checks := together.Begin(&reads, func() ([]kv.Checks, error) { return c.Checks(ctx) })
	lease := together.Begin(&reads, func() (kv.Lease, error) { return c.GetLeader(ctx) })
	nodes := together.Begin(&reads, func() ([]state.Node, error) { return c.ListNodes(ctx) })
	agent := together.Begin(&reads, func() (state.Agent, error) { return c.GetAgent(ctx) })
	read, err := readStored(ctx, c)
	if err != nil {
		return nil, err
	}
	v.keys, v.servers, v.models = read.keys(), a.objectsOf(read, state.KindServer), a.objectsOf(read, state.KindModel)
	// A full disk takes no status that says so. Whoever cannot be asked tells nothing.
	answers, _ := checks()
	if c, ok := doctor.Disk(answers); ok && c.Reason == actors.CondStoreFull {
		v.disk = c.Reason + ": " + c.Text
	}
	switch lease, err := lease(); {
	case err == nil: // without a leader there is nobody who says so
		v.told(lease)
	case errors.Is(err, kv.ErrNotFound) && v.disk == "": // which keeps the lease from being written
		v.noLeader = nobodyLeads
	}
	if v.nodes, err = nodes(); err != nil && !errors.Is(err, kv.ErrNotFound) {
		return nil, exit.Stored(err)
	}
	switch agent, err := agent(); {
	case err == nil:
		v.agent = &agent
	case !errors.Is(err, kv.ErrNotFound):
		return nil, exit.Stored(err)
	}
	return v, nil
}

// nobodyLeads is said of what nobody keeps current.
const nobodyLeads = "no reconciler leads, so nothing is started or healed, and what is said of servers and models is as it was told last: see dynctl doctor"

// told takes what the reconciler that leads says of the Ray cluster.
func (v *overview) told(lease kv.Lease) {
	if f := lease.AgentFailure; f != nil {
		v.failure, v.between = actors.FailureText(*f), f.Up
	}
	if lease.RayNotice != nil {
		v.ray = lease.RayNotice.String()
	}
	v.standby = lease.Standby
}

// narrow keeps the objects that are named.
func (v *overview) narrow(a *app, args []string) error {
	var keys []state.Key
	for _, arg := range args {
		r, err := parseRef(arg)
		if err != nil {
			return err
		}
		key, err := a.findIn(v.keys, r)
		if err != nil {
			return err
		}
		keys = append(keys, key)
	}
	v.details = true
	v.models = slices.DeleteFunc(v.models, func(o objectInfo) bool {
		return !slices.Contains(keys, state.ModelKey(o.Server, o.Name))
	})
	v.servers = slices.DeleteFunc(v.servers, func(o objectInfo) bool {
		return !slices.Contains(keys, state.ServerKey(o.Server))
	})
	return nil
}

// statusInfo is the shape of `dynctl status -o json`.
type statusInfo struct {
	Servers []summary `json:"servers"`
	Models  []summary `json:"models"`
	// Agent is null when no agent has ever reported.
	Agent *agentInfo `json:"agent"`
	Nodes int        `json:"nodes"`
	GPUs  int        `json:"gpus"`
	// Disk is what keeps the store from being written to, or soon will: a reason and a
	// text; absent where nothing does.
	Disk string `json:"disk,omitempty"`
	// NoLeader says that no reconciler leads, so that states and conditions are the last that
	// were told; absent while one does.
	NoLeader string `json:"noLeader,omitempty"`
	// AgentFailure is why no agent stays, and so nothing starts or heals: a reason, a line
	// and what to do; absent while one does.
	AgentFailure string `json:"agentFailure,omitempty"`
	// Ray is what somebody should look at in the Ray cluster while an agent is there: a
	// reason, a line and what to do.
	Ray string `json:"ray,omitempty"`
	// StandbyAgent is the agent that is to wait beside the one in charge; absent where none
	// is to.
	StandbyAgent *state.StandbyAgent `json:"standbyAgent,omitempty"`
}

// summary is one object of a status.
type summary struct {
	Name   string `json:"name"`
	Server string `json:"server"`
	// State is one of serving, degraded, stale, suspended, scaled-to-zero, rejected, waiting,
	// failing, starting, deleting, unknown.
	State string `json:"state"`
	// Unsure: it serves, as the frontend says, and whether all that is wanted does is not known
	// (state is degraded then).
	Unsure  bool      `json:"unsure,omitempty"`
	Since   time.Time `json:"since,omitzero"`
	Reason  string    `json:"reason"`
	Message string    `json:"message"`
	Next    string    `json:"next"`
	// Endpoint is the OpenAI base URL.
	Endpoint   string            `json:"endpoint"`
	Conditions []state.Condition `json:"conditions"`
}

type agentInfo struct {
	Incarnation uint64    `json:"incarnation"`
	Synced      bool      `json:"synced"`
	Connected   bool      `json:"connected"`
	HeartbeatAt time.Time `json:"heartbeatAt,omitzero"`
}

func (v *overview) info() statusInfo {
	info := statusInfo{Servers: []summary{}, Models: []summary{}, Disk: v.disk, NoLeader: v.noLeader, AgentFailure: v.failure, Ray: v.ray, StandbyAgent: v.standby}
	for _, o := range v.servers {
		info.Servers = append(info.Servers, v.summary(o))
	}
	for _, o := range v.models {
		info.Models = append(info.Models, v.summary(o))
	}
	for _, n := range v.nodes {
		if n.Alive {
			info.Nodes++
			info.GPUs += n.GPUs
		}
	}
	if v.agent != nil {
		info.Agent = &agentInfo{v.agent.Incarnation, v.agent.Synced, v.connected(), v.agent.At}
	}
	return info
}

func (v *overview) connected() bool {
	return v.agent != nil && v.now.Sub(v.agent.At) <= verdict.AgentSilence
}

func (v *overview) summary(o objectInfo) summary {
	s := summary{Name: o.Name, Server: o.Server, State: verdict.Unknown, Conditions: []state.Condition{}}
	if o.Status == nil {
		s.Message = "the reconciler has not seen it yet"
		return s
	}
	look := judge(o.Status, v.now)
	s.State, s.Unsure, s.Since, s.Next = look.Word, look.Unsure, look.Since, look.next
	s.Endpoint, s.Conditions = o.Status.Endpoint, orEmpty(o.Status.Conditions)
	if c := look.Blocking; c != nil {
		s.Reason, s.Message = c.Reason, c.Message
	}
	return s
}

// serverNames are the servers that a Server or a Model names, sorted.
func (v *overview) serverNames() []string {
	var names []string
	for _, o := range append(slices.Clone(v.servers), v.models...) {
		names = append(names, o.Server)
	}
	return slices.Compact(slices.Sorted(slices.Values(names)))
}

// footer is the state of the Ray side in one line.
func (v *overview) footer(p palette) string {
	gpus, free, nodes, known := 0, 0.0, 0, true
	for _, n := range v.nodes {
		if !n.Alive {
			continue
		}
		nodes++
		gpus += n.GPUs
		if n.FreeGPUs == nil {
			known = false
		} else {
			free += *n.FreeGPUs
		}
	}
	parts := []string{"Ray: " + state.Counted(nodes, "node") + ", " + state.Counted(gpus, "GPU")}
	if known && gpus > 0 {
		parts[0] += fmt.Sprintf(", %g free", free)
	}
	switch {
	case v.agent == nil:
		parts = append(parts, p.bad("no agent has reported yet (see dynctl doctor)"))
	case !v.connected():
		parts = append(parts, p.bad(fmt.Sprintf("agent silent for %s (see dynctl doctor)", prose.Age(v.now, v.agent.At))))
	case !v.agent.Synced:
		parts = append(parts, p.warn("agent is reading the cluster"))
	default:
		parts = append(parts, "agent connected")
	}
	if b := v.standby; b != nil && b.State == state.StandbyReady {
		parts = append(parts, "another stands by")
	} else if b != nil {
		parts = append(parts, p.warn("none stands by for "+prose.Age(v.now, b.Since)))
	}
	return strings.Join(parts, "; ")
}
