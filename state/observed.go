package state

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Observed is what the Ray-side agent reports. Unsynced and empty are different:
// nothing may be stopped while Synced is false.
type Observed struct {
	// Synced is true once the bucket is fully loaded and the agent in charge has
	// rebuilt its view from Ray.
	Synced bool
	Agent  *Agent
	// Units are by server, then id. They are shared with whoever else was handed them, so
	// nobody changes one: who has another puts that in its place, in a list of its own.
	Units []*Unit
	Nodes []Node // by id
	// Gone holds the revision of the delete marker of units that are no more, so
	// that a unit which starts again is told apart from its first start.
	Gone map[UnitKey]uint64
	// LastGone is when the last of them went, on the clock of whoever reads it.
	LastGone time.Time
	// Unreadable are the units that are reported in a way that cannot be read, and
	// that no earlier report stands in for: they exist, and nothing else is known.
	Unreadable []UnitKey // by server, then id
}

// Agent is the value of the key "agent": the incarnation in charge. The agent
// rewrites it every second, as its heartbeat.
type Agent struct {
	Incarnation uint64 `json:"incarnation"`
	StoreID     string `json:"storeId"`
	// Session is the Ray session; events of another one are void.
	Session string `json:"session"`
	// Synced says that every actor and group that Ray holds has been reported.
	Synced bool `json:"synced"`
	// Epoch is the highest fencing epoch that the agent has seen.
	Epoch uint64 `json:"epoch"`
	// Protocol is what it says that it speaks; see Speaks.
	Protocol *Protocol `json:"protocol,omitempty"`
	// Asks says that the agent asks for what a command withholds.
	Asks bool `json:"asks,omitempty"`
	// Autoscaling says that the Ray cluster adds nodes by itself.
	Autoscaling bool   `json:"autoscaling"`
	Version     string `json:"version"`
	// Versions are what runs on the agent's node, by name: python, ray, dynamo.
	Versions map[string]string `json:"versions,omitempty"`
	// Binaries are the programs of the infra unit as the agent's node has them, by
	// name: etcd, nats-server.
	Binaries map[string]string `json:"binaries,omitempty"`
	// Programs are those of the reconciler for nodes that have none; nil: it has none to give.
	Programs *AgentPrograms `json:"programs,omitempty"`
	// NodeHealth is how Ray finds out that a node is dead; nil: the agent cannot see it.
	NodeHealth *NodeHealth `json:"nodeHealth,omitempty"`
	// Warm is what it keeps ready for workers that are still to come; nil: it keeps nothing,
	// and cannot.
	Warm   *AgentWarm `json:"warm,omitempty"`
	NodeIP string     `json:"nodeIp"`
	PID    int        `json:"pid"`
	// Job is the submission id of its Ray job; empty: it does not tell.
	Job string `json:"job,omitempty"`
	// At is the time of the heartbeat on the clock of the KV store, and Revision the number
	// of its entry there; not stored.
	At       time.Time `json:"-"`
	Revision uint64    `json:"-"`
	// Deaf is how much of the time since At another heartbeat could not have been heard; not
	// stored.
	Deaf time.Duration `json:"-"`
}

// Node is a Ray node.
type Node struct {
	ID     string            `json:"id"`
	IP     string            `json:"ip"`
	GPUs   int               `json:"gpus"`
	CPUs   int               `json:"cpus"`
	Head   bool              `json:"head"`
	Alive  bool              `json:"alive"`
	Labels map[string]string `json:"labels,omitempty"`
	// FreeGPUs and FreeCPUs are what Ray has not given to anybody, a second ago
	// at most; nil when not known.
	FreeGPUs *float64 `json:"freeGpus,omitempty"`
	FreeCPUs *float64 `json:"freeCpus,omitempty"`
	// Versions are what the Python of Ray's workers has on this node, by name: python,
	// ray, dynamo, vllm, sglang, tensorrt_llm; nil until the agent has looked.
	Versions map[string]string `json:"versions,omitempty"`
	// Cards are the node's NVIDIA cards as the driver tells them, some 15 s ago at most;
	// nil where there is no driver, or until the agent has looked.
	Cards []Card `json:"cards,omitempty"`
	// Parsers are the command lines that the programs of Dynamo take on this node, by
	// program; without those that the agent has not read yet.
	Parsers map[string]NodeParser `json:"parsers,omitempty"`
	// Caches is what the node keeps of what engines compiled; nil where it keeps nothing.
	Caches *Caches `json:"caches,omitempty"`
}

// Caches is what a node keeps of what engines compiled, beyond the unit that compiled it.
type Caches struct {
	Directory string `json:"directory"`
	Bytes     int64  `json:"bytes"`
	// Parts is how many sets of packages and kinds of card it is for.
	Parts int `json:"parts"`
}

// NodeParser is the command line that a program takes on a node, or why it is not known.
type NodeParser struct {
	// Digest is the same on nodes with the same command line.
	Digest string `json:"digest,omitempty"`
	// Table is the [engineflags.Table] as JSON, packed with gzip and base64; empty where
	// another node has the one of this digest.
	Table string `json:"table,omitempty"`
	Error string `json:"error,omitempty"`
}

// MaxParserTable is how long a packed table may be, in bytes.
const MaxParserTable = 64 << 10

// Card is one GPU card of a node.
type Card struct {
	// Index is the driver's; Ray gives cards by the same numbers where it sees all.
	Index int    `json:"index"`
	UUID  string `json:"uuid,omitempty"`
	Name  string `json:"name,omitempty"`
	// MemoryTotal and MemoryUsed are bytes.
	MemoryTotal int64         `json:"memoryTotal,omitempty"`
	MemoryUsed  int64         `json:"memoryUsed,omitempty"`
	Processes   []CardProcess `json:"processes,omitempty"` // the largest first
	// Error is what the driver says of a card that it cannot ask, such as one it lost.
	Error string `json:"error,omitempty"`
}

// CardProcess is a process with memory on a card.
type CardProcess struct {
	PID int `json:"pid"`
	// Group is its process group; 0 where the node does not know the process, as it is
	// with one of another container.
	Group   int    `json:"group,omitempty"`
	Command string `json:"command,omitempty"`
	// Ours: the group is, or was, that of a worker which the agent has seen.
	Ours   bool  `json:"ours,omitempty"`
	Memory int64 `json:"memory,omitempty"` // bytes
}

// maxWhole bounds a count, so that sums fit an int.
const maxWhole = 1 << 30

// UnmarshalJSON reads a node. Ray counts GPUs and CPUs in fractions; only whole
// ones can be given to a worker, so what is left over is cut off. Fields that are
// not written stay as they are.
func (n *Node) UnmarshalJSON(data []byte) error {
	type plain Node
	v := struct {
		*plain
		GPUs *float64 `json:"gpus"`
		CPUs *float64 `json:"cpus"`
	}{plain: (*plain)(n)}
	if err := json.Unmarshal(data, &v); err != nil {
		return err
	}
	for _, x := range []struct {
		name string
		from *float64
		to   *int
	}{{"gpus", v.GPUs, &n.GPUs}, {"cpus", v.CPUs, &n.CPUs}} {
		if x.from == nil {
			continue
		}
		if *x.from < 0 || *x.from > maxWhole {
			return fmt.Errorf("%s is %v; write a number from 0 to %d", x.name, *x.from, maxWhole)
		}
		*x.to = int(*x.from)
	}
	return nil
}

// UnitState is the state of a unit or of an actor as the agent reports it.
type UnitState string

// States of a unit, and of an actor unless said otherwise.
const (
	// UnitPending: the start has been received.
	UnitPending UnitState = "Pending"
	// UnitPlacing: the placement group is being created.
	UnitPlacing UnitState = "Placing"
	// UnitWaiting: actors exist; the exec waits for what the unit needs.
	UnitWaiting UnitState = "Waiting"
	// UnitStarting: executed, not yet healthy.
	UnitStarting UnitState = "Starting"
	// UnitRunning: executed and healthy.
	UnitRunning UnitState = "Running"
	// UnitExited: a process ended that was not asked to, or a placement failed.
	UnitExited UnitState = "Exited"
	// UnitStopping: being stopped.
	UnitStopping UnitState = "Stopping"
	// ActorDead (actors only): the Ray actor is gone.
	ActorDead UnitState = "Dead"
)

// UnitKey identifies a unit.
type UnitKey struct {
	Server string
	Unit   string
}

// String is "server/unit".
func (k UnitKey) String() string { return k.Server + "/" + k.Unit }

// Compare orders keys by server, then unit.
func (k UnitKey) Compare(o UnitKey) int {
	return cmp.Or(strings.Compare(k.Server, o.Server), strings.Compare(k.Unit, o.Unit))
}

// Unit is the value of the key "unit.<server>.<unit>": one placement group with
// its actors, as the agent sees it.
type Unit struct {
	Incarnation uint64 `json:"incarnation"`
	Server      string `json:"server"`
	Unit        string `json:"unit"`
	Model       string `json:"model,omitempty"`
	Role        string `json:"role,omitempty"`
	Replica     int    `json:"replica"`
	Generation  string `json:"generation"`
	// Worker numbers the disaggregated workers of a server; it stays with a unit.
	Worker int `json:"worker"`
	// StoreID is the id of the spec store whose reconciler started the unit; empty
	// or another one: not ours.
	StoreID string    `json:"storeId"`
	State   UnitState `json:"state"`
	// Reason is a CamelCase constant of the agent, such as PlacementTimeout.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	// Digest is the digest of the unit's template.
	Digest string `json:"digest,omitempty"`
	// Restart is the model's restart text that the unit was last executed for.
	Restart string `json:"restart,omitempty"`
	// Attempt counts the tries to create the placement group; Failures those in a
	// row that failed.
	Attempt        int            `json:"attempt"`
	Failures       int            `json:"failures"`
	PlacementGroup PlacementGroup `json:"placementGroup"`
	Actors         []Actor        `json:"actors"`
	// JobAlive says, of a unit that is not ours, whether the Ray job that made it lives.
	JobAlive bool `json:"jobAlive,omitempty"`
	// ChangedAt is when State last changed, SentAt when the value was written, both
	// on the agent's clock; adapters move ChangedAt and the actors' times to the
	// clock of whoever reads them.
	ChangedAt time.Time `json:"changedAt,omitzero"`
	SentAt    time.Time `json:"sentAt,omitzero"`
	// Revision is the revision of the KV entry; not stored in it.
	Revision uint64 `json:"-"`
}

// Key identifies the unit.
func (u Unit) Key() UnitKey { return UnitKey{u.Server, u.Unit} }

// Compare orders units by their keys.
func (u *Unit) Compare(o *Unit) int {
	return UnitKey{u.Server, u.Unit}.Compare(UnitKey{o.Server, o.Unit})
}

// NodeOf is the id of the node that holds a bundle, by what the group says, and else by
// where the bundle's actors are; empty while that is not known.
func (u Unit) NodeOf(bundle int) string {
	if bundle < len(u.PlacementGroup.Nodes) {
		return u.PlacementGroup.Nodes[bundle]
	}
	for _, a := range u.Actors {
		if a.Bundle == bundle {
			return a.Node
		}
	}
	return ""
}

// States of a placement group: Ray's, and INFEASIBLE of a group that no node could hold.
const (
	GroupPending      = "PENDING"
	GroupCreated      = "CREATED"
	GroupRescheduling = "RESCHEDULING"
	GroupRemoved      = "REMOVED"
	GroupInfeasible   = "INFEASIBLE"
)

// PlacementGroup is a Ray placement group.
type PlacementGroup struct {
	Name     string              `json:"name"`
	ID       string              `json:"id,omitempty"`
	State    string              `json:"state,omitempty"` // one of Group...
	Strategy string              `json:"strategy,omitempty"`
	Bundles  []BundleShape       `json:"bundles,omitempty"`
	Selector []map[string]string `json:"bundleLabelSelector,omitempty"`
	// Nodes are the ids of the nodes that hold the bundles, by bundle, once Ray has
	// placed them. A bundle may have no actor.
	Nodes []string `json:"nodes,omitempty"`
}

// BundleShape is what one bundle reserves.
type BundleShape struct {
	CPU int `json:"CPU"`
	GPU int `json:"GPU,omitempty"`
}

// Actor is one Ray actor with the process that it executes.
type Actor struct {
	Name   string    `json:"name"`
	Bundle int       `json:"bundle"`
	State  UnitState `json:"state"`
	Node   string    `json:"node,omitempty"` // Ray node id
	IP     string    `json:"ip,omitempty"`
	GPUs   []string  `json:"gpus,omitempty"`
	// PID is the actor's process, ChildPID the executed one; 0 when there is none.
	PID      int `json:"pid"`
	ChildPID int `json:"childPid"`
	// Attempt counts executions from 1; 0 means never executed.
	Attempt int `json:"attempt"`
	// Failures is the number of exits in a row that count for the backoff, as the
	// reconciler said it with the start of this attempt.
	Failures int `json:"failures"`
	// Digest is the digest of the actor's template that this attempt executes.
	Digest string         `json:"digest,omitempty"`
	Ports  map[string]int `json:"ports,omitempty"`
	// Uses is what the references to other units were resolved to, by placeholder:
	// "{ip:infra/0}": "10.0.0.1".
	Uses map[string]string `json:"uses,omitempty"`
	// Lease is the Dynamo instance id of this attempt, which is its etcd lease id;
	// 0 until it is known.
	Lease int64 `json:"lease,omitempty"`
	// StartedAt is when this attempt was executed, ReadyAt when it was first healthy.
	StartedAt time.Time `json:"startedAt,omitzero"`
	ReadyAt   time.Time `json:"readyAt,omitzero"`
	Exit      *Exit     `json:"exit,omitempty"`
	// LastExit is how the attempt before this one ended, while this one runs.
	LastExit *Exit `json:"lastExit,omitempty"`
	// PreviousLease is the lease of the last attempt that ended, to be revoked; 0
	// when none was known.
	PreviousLease int64 `json:"previousLease,omitempty"`
	// Open: it is a managed etcd or NATS that runs and lets in whoever reaches it. Agents of
	// earlier versions do not tell.
	Open bool `json:"open,omitempty"`
}

// Exit is how an attempt ended.
type Exit struct {
	Attempt int    `json:"attempt"`
	Code    int    `json:"code"`             // negative: the signal that ended it
	Reason  string `json:"reason,omitempty"` // Exited, Killed, Hung, StartupTimeout, PortConflict, ExecFailed
	// Cause is what the log says ended it, one line; empty where it says nothing. Hint
	// is what to do about it, where that is known.
	Cause   string    `json:"cause,omitempty"`
	Hint    string    `json:"hint,omitempty"`
	LogTail string    `json:"logTail,omitempty"` // headed by both
	At      time.Time `json:"at"`
	// ReadyFor is how long the attempt had been healthy, in seconds.
	ReadyFor float64 `json:"readyFor"`
	// InfraAway says that etcd or NATS was not running when it ended.
	InfraAway bool `json:"infraAway,omitempty"`
}
