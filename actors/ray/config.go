package ray

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"dynctl/state"
)

// AgentConfig is what an agent is told; docs/protocol.md says what it does with it.
type AgentConfig struct {
	// NATSURL is where the agent finds the reconciler's NATS.
	NATSURL string `json:"natsUrl"`
	// NATSCreds is how it logs in there; nil: as nobody. They travel in the job's
	// metadata, which Ray hands to the driver in its environment alone: see
	// metaCreds. Whoever may read the jobs of the Ray cluster can still read them.
	NATSCreds map[string]string `json:"-"`
	StoreID   string            `json:"storeId"`
	// RayNamespace is where actors and placement groups are made.
	RayNamespace string `json:"rayNamespace"`
	// BinDirs are searched for etcd and nats-server before PATH.
	BinDirs []string `json:"binDirs"`
	// CacheDir is where the nodes keep what engines compile; "" for nowhere.
	CacheDir string `json:"cacheDir,omitempty"`
	// Programs is the package of etcd and nats-server for nodes that have neither; "": none.
	Programs string `json:"programs,omitempty"`
	// Protocol is what the reconciler speaks.
	Protocol state.Protocol `json:"protocol"`
	// Epoch is the fencing epoch at the time.
	Epoch uint64 `json:"epoch"`
	// Job is the submission id of the agent's own job.
	Job string `json:"job,omitempty"`
	// Standby has it wait for an order before it takes charge.
	Standby bool `json:"standby,omitempty"`
	// Succeeds is the newest incarnation whose place it takes by itself; where a newer one is
	// in charge when it comes up, it stands by. Nil: it takes charge whoever is.
	Succeeds *uint64 `json:"succeeds,omitempty"`
}

// settings names everything that makes a running agent the wrong one. The epoch does not,
// it comes with each command, and neither does what tells one agent from another.
func (c AgentConfig) settings() (string, error) {
	c.Epoch, c.Job, c.Standby, c.Succeeds = 0, "", false, nil
	raw, err := json.Marshal(struct {
		AgentConfig
		Creds map[string]string `json:"natsCreds"`
	}{c, c.NATSCreds})
	if err != nil {
		return "", fmt.Errorf("the agent's settings: %w", err)
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:8]), nil
}

func (c AgentConfig) entrypoint() (string, error) {
	raw, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("the agent's settings: %w", err)
	}
	return "python -m dynctl_agent --config " + base64.StdEncoding.EncodeToString(raw), nil
}

// metaCreds is the metadata of the agent's job that holds NATSCreds, as JSON. It is not
// a variable of the job's runtime environment, for Ray puts those on the command line of
// the process that sets it up, where every user of the machine can read them, and into
// the log of its runtime environment agent.
const metaCreds = "dynctl/nats-creds"

// metadata is that of the agent's job, by which any reconciler can tell it.
func (c AgentConfig) metadata(packageHash, settings string) (map[string]string, error) {
	out := map[string]string{metaStore: c.StoreID, metaPackage: packageHash, metaSettings: settings}
	if c.Standby {
		out[metaStandby] = "true"
	}
	if c.NATSCreds != nil {
		raw, err := json.Marshal(c.NATSCreds)
		if err != nil {
			return nil, fmt.Errorf("the agent's credentials: %w", err)
		}
		out[metaCreds] = string(raw)
	}
	return out, nil
}

// Heartbeat is the last one that was seen.
type Heartbeat struct {
	Incarnation uint64
	// Revision is another one with each heartbeat; 0: there was none.
	Revision uint64
	// Age is how long it has been the last one, as far as another could have been heard.
	Age time.Duration
	// Job is the submission id of the agent's job; "": it does not tell.
	Job string
	// Wants is the package of programs that is to be in Ray's store; "": none.
	Wants string
}

// Config is what a Supervisor needs.
type Config struct {
	Resolver Resolver
	// Token is for Ray clusters in token mode, where the resolver knows no other, and asked
	// before each request that is due; see TokenFromEnv. Nil: there is none.
	Token   func() (string, error)
	Package Package
	// Programs are those for nodes that have none; the zero value: there are none to give.
	Programs Programs
	// Agent is asked before each submission.
	Agent func() AgentConfig
	// Heartbeat is the last heartbeat in the store; false while the store cannot be
	// read, and then nothing is concluded from its age. No heartbeat at all in a
	// store that can be read is incarnation 0 with a large age.
	Heartbeat func() (Heartbeat, bool)
	// Order gives an order to the agent of a job that stands by, and waits for what comes of
	// it; [ErrNotListening] if that one takes none yet, or no more. Nil: none stands by.
	Order func(ctx context.Context, job string, order state.StandbyOrder) (state.StandbyAnswer, error)
	// Log receives one line for each change of phase; nil: none.
	Log *slog.Logger

	// StartTimeout is how long a job may take to its first heartbeat; default 60 s.
	// One that was found and has beaten since its start gets HeartbeatTimeout.
	StartTimeout time.Duration
	// HeartbeatTimeout is the age at which an agent whose job runs is replaced;
	// default 10 s, which a machine under full load does not reach; half of that while a
	// standby answers.
	HeartbeatTimeout time.Duration
	// Poll is the pause between two looks at the job; default 250 ms. Ray tells
	// nobody when a job ends, and one look costs it 1.5 ms of CPU (measured), so 250
	// ms take less than a hundredth of a core, whether a heartbeat is late or not.
	Poll time.Duration
	// The first job after a stable one is submitted at once, the others after
	// BackoffInitial (default 500 ms), doubled each time up to BackoffMax (default
	// 5 s: nothing heals while there is none), give or take a fifth. Stable is an
	// agent that lived for ResetAfter (default 15 s).
	BackoffInitial, BackoffMax, ResetAfter time.Duration
	// StandbyAfter is how long an agent has been well before another one is started to
	// stand by; default 10 s.
	StandbyAfter time.Duration
}

func (c *Config) setDefaults() {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&c.StartTimeout, time.Minute},
		{&c.HeartbeatTimeout, 10 * time.Second},
		{&c.Poll, 250 * time.Millisecond},
		{&c.BackoffInitial, 500 * time.Millisecond},
		{&c.BackoffMax, 5 * time.Second},
		{&c.ResetAfter, 15 * time.Second},
		{&c.StandbyAfter, 10 * time.Second},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

// Phase is where a Supervisor stands.
type Phase string

// Phases of a Supervisor.
const (
	// PhaseWaiting: the resolver has no address.
	PhaseWaiting Phase = "Waiting"
	// PhaseUnreachable: the dashboard does not answer, or refuses.
	PhaseUnreachable Phase = "Unreachable"
	// PhaseStarting: a job is there, its first heartbeat is not.
	PhaseStarting Phase = "Starting"
	// PhaseRunning: heartbeats arrive.
	PhaseRunning Phase = "Running"
	// PhaseBackoff: the last job failed; the next one follows by itself.
	PhaseBackoff Phase = "Backoff"
	// PhaseStopped: Stop was called.
	PhaseStopped Phase = "Stopped"
)

// SupervisorState is where a Supervisor stands and why, for people.
type SupervisorState struct {
	Phase Phase
	// Message says in one line what is wrong, where, and what to do.
	Message string
	// Since is when Phase last changed.
	Since time.Time
	// JobID is the submission id of the agent's job; empty when there is none.
	JobID string
	// Address is the dashboard's.
	Address string
	// Failures counts the jobs in a row that did not become stable.
	Failures int
	// Failing is set while no agent stays: why, and what to do. Zero: none of that.
	Failing state.AgentFailure
	// Notice is what somebody should look at although an agent is there. Zero: nothing.
	Notice state.RayNotice
	// Standby is one of state.StandbyAbsent and so on for the agent that is to wait beside
	// it; empty: none is to. Supervisor.Standby says more.
	Standby string
}
