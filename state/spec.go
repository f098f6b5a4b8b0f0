package state

import (
	"encoding/json"
	"time"
)

// APIVersion is the only version of the spec format.
const APIVersion = "dynctl/v1alpha1"

// Kinds of objects.
const (
	KindServer = "Server"
	KindModel  = "Model"
)

// DefaultServer is the server of a model that names none.
const DefaultServer = "default"

// RecreateAnnotation allows a Server revision to move etcd or NATS or to rename
// the Dynamo namespace while workers are registered. Its value is the decimal
// revision of the spec that it replaces.
const RecreateAnnotation = "dynctl/recreate"

// Metadata names an object.
type Metadata struct {
	Name string `json:"name"`
	// Server is the server that a Model belongs to; empty in a Server.
	Server      string            `json:"server,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Server is one Dynamo deployment: etcd, NATS, a frontend, one Dynamo namespace
// and one HTTP port.
type Server struct {
	APIVersion string     `json:"apiVersion"`
	Kind       string     `json:"kind"`
	Metadata   Metadata   `json:"metadata"`
	Spec       ServerSpec `json:"spec"`
}

// Model is one served model of a server.
type Model struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Metadata   Metadata  `json:"metadata"`
	Spec       ModelSpec `json:"spec"`
}

// Object is a decoded document: exactly one of Server and Model is set.
type Object struct {
	Server *Server
	Model  *Model
}

// ServerSpec is what a server is asked to be. The zero value of a field means
// its default; [Server.WithDefaults] fills them in. A field tagged spec:"nonzero"
// may not be written as zero, which would silently mean the default.
type ServerSpec struct {
	// DynamoNamespace is the stem of the Dynamo namespaces; no dots. Default "curator".
	DynamoNamespace string        `json:"dynamoNamespace,omitempty"`
	RequestPlane    string        `json:"requestPlane,omitempty"` // nats | tcp
	EventPlane      string        `json:"eventPlane,omitempty"`   // nats | zmq
	Etcd            EtcdSpec      `json:"etcd,omitzero"`
	NATS            NATSSpec      `json:"nats,omitzero"`
	Frontend        FrontendSpec  `json:"frontend,omitzero"`
	Router          ServerRouter  `json:"router,omitzero"`
	Env             Env           `json:"env,omitempty"`
	RuntimeEnv      Args          `json:"runtimeEnv,omitempty"`
	Placement       PlacementSpec `json:"placement,omitzero"`
	Healing         HealingSpec   `json:"healing,omitzero"`
	WarmPool        WarmPoolSpec  `json:"warmPool,omitzero"`
}

// EtcdSpec says which etcd Dynamo registers in. An empty Endpoint means one that
// the infra unit runs.
type EtcdSpec struct {
	Endpoint string `json:"endpoint,omitempty"`
}

// NATSSpec says which NATS carries Dynamo's data plane. An empty URL means one
// that the infra unit runs. It is never the NATS that holds the specs.
type NATSSpec struct {
	URL string `json:"url,omitempty"`
}

// FrontendSpec describes Dynamo's HTTP frontend.
type FrontendSpec struct {
	// Port is a promise, not a seed: if it is taken, the frontend waits. Default 8000.
	Port int  `json:"port,omitempty" spec:"nonzero"`
	Args Args `json:"args,omitempty"`
}

// ServerRouter is the server-wide routing.
type ServerRouter struct {
	Mode     string   `json:"mode,omitempty"`     // auto | a router mode
	KVEvents Tristate `json:"kvEvents,omitempty"` // auto | true | false
	Args     Args     `json:"args,omitempty"`
	// Apply is model or frontend; empty with a mode that is not auto, where it has no
	// effect.
	Apply string `json:"apply,omitempty"`
}

// ModelRouter is a model's own routing.
type ModelRouter struct {
	Mode     string   `json:"mode,omitempty"` // inherit | a router mode
	KVEvents Tristate `json:"kvEvents,omitempty"`
}

// PlacementSpec narrows the nodes that units may run on.
type PlacementSpec struct {
	// ExcludeHeadNode keeps units off the Ray head node. Nil in a Model means
	// what its server says.
	ExcludeHeadNode *bool             `json:"excludeHeadNode,omitempty"`
	NodeSelector    map[string]string `json:"nodeSelector,omitempty"`
	// WaitForNodes says whether a placement group that fits nowhere waits for
	// nodes to come (Server only). Auto: it waits where Ray autoscales.
	WaitForNodes Tristate `json:"waitForNodes,omitempty"`
}

// WarmPoolSpec says what is kept ready for workers that are still to come.
type WarmPoolSpec struct {
	// ProcessesPerNode is how many idle worker processes of Ray's are kept on each node that
	// may carry the server's workers. 0: none. Where several servers say so the largest counts.
	ProcessesPerNode int `json:"processesPerNode,omitempty"`
}

// HealingSpec says how exits are followed by a new execution.
type HealingSpec struct {
	Backoff BackoffSpec `json:"backoff,omitzero"`
}

// BackoffSpec is a capped exponential backoff with jitter. The first restart is
// always immediate.
type BackoffSpec struct {
	Initial    Duration `json:"initial,omitempty"`
	Max        Duration `json:"max,omitempty"`
	Multiplier float64  `json:"multiplier,omitempty" spec:"nonzero"`
	// Jitter is the fraction by which a delay may differ, 0 to 1.
	Jitter *float64 `json:"jitter,omitempty"`
	// ResetAfter is how long a process must have been ready to forget earlier exits.
	ResetAfter Duration `json:"resetAfter,omitempty"`
}

// ModelSpec is what a model is asked to be. The zero value of a field means its
// default; [Model.WithDefaults] fills them in.
type ModelSpec struct {
	// Model is a hub id or a path, passed to the engine verbatim.
	Model            string        `json:"model"`
	ServedName       string        `json:"servedName,omitempty"`
	Engine           string        `json:"engine,omitempty"`
	Mode             string        `json:"mode,omitempty"`
	Replicas         *int          `json:"replicas,omitempty"`
	Prefill          *RoleSpec     `json:"prefill,omitempty"`
	Decode           *RoleSpec     `json:"decode,omitempty"`
	EngineArgs       Args          `json:"engineArgs,omitempty"`
	DynamoArgs       Args          `json:"dynamoArgs,omitempty"`
	KVEventsConfig   Args          `json:"kvEventsConfig,omitempty"`
	KVTransferConfig Args          `json:"kvTransferConfig,omitempty"`
	Router           ModelRouter   `json:"router,omitzero"`
	Env              Env           `json:"env,omitempty"`
	RuntimeEnv       Args          `json:"runtimeEnv,omitempty"`
	Resources        ResourcesSpec `json:"resources,omitzero"`
	Placement        PlacementSpec `json:"placement,omitzero"`
	Priority         int           `json:"priority,omitempty"`
	Update           UpdateSpec    `json:"update,omitzero"`
	StartupTimeout   Duration      `json:"startupTimeout,omitempty"`
	// TerminationGracePeriod is how long a worker may drain after SIGTERM.
	TerminationGracePeriod Duration `json:"terminationGracePeriod,omitempty"`
	// Restart is any text; new text restarts all workers in place, none restarts nothing.
	Restart string `json:"restart,omitempty"`
	Suspend bool   `json:"suspend,omitempty"`
}

// RoleSpec describes the prefill or the decode workers of a disaggregated model.
// All but Replicas is over what the model says, key by key; null takes an argument
// or a key of the model's away.
type RoleSpec struct {
	Replicas         *int          `json:"replicas,omitempty"`
	EngineArgs       Args          `json:"engineArgs,omitempty"`
	DynamoArgs       Args          `json:"dynamoArgs,omitempty"`
	KVEventsConfig   Args          `json:"kvEventsConfig,omitempty"`
	KVTransferConfig Args          `json:"kvTransferConfig,omitempty"`
	Env              Env           `json:"env,omitempty"`
	Resources        ResourcesSpec `json:"resources,omitzero"`
	Placement        PlacementSpec `json:"placement,omitzero"`
}

// ResourcesSpec is what one worker needs.
type ResourcesSpec struct {
	// GPUs is the number of whole GPUs of one worker. Nil means
	// tensor x pipeline x data parallel size.
	GPUs *int `json:"gpus,omitempty"`
	CPUs *int `json:"cpus,omitempty"` // default 1
}

// UpdateSpec is the disruption budget of a roll, per role.
type UpdateSpec struct {
	Type     string `json:"type,omitempty"` // RollingUpdate
	MaxSurge *int   `json:"maxSurge,omitempty"`
	// MaxUnavailable nil means: one at a time may be replaced when nothing can surge.
	MaxUnavailable *int `json:"maxUnavailable,omitempty"`
}

// Engines that a model can name.
const (
	EngineVLLM   = "vllm"
	EngineSGLang = "sglang"
	EngineTRTLLM = "trtllm"
	EngineMocker = "mocker"
)

// Modes of a model.
const (
	ModeAggregated = "aggregated"
	ModeDisagg     = "disagg"
)

// Roles of a worker. An aggregated worker has none.
const (
	RoleAggregated = ""
	RolePrefill    = "prefill"
	RoleDecode     = "decode"
)

// Args is a JSON object whose key order counts: command-line arguments, a
// connector template, a Ray runtime_env. Values keep their source text, so that
// a number reaches a command line as it was written.
type Args []Arg

// Arg is one key of an [Args]. Value is a JSON value, never empty.
type Arg struct {
	Key   string
	Value json.RawMessage
}

// Get returns the value of key.
func (a Args) Get(key string) (json.RawMessage, bool) {
	for _, x := range a {
		if x.Key == key {
			return x.Value, true
		}
	}
	return nil, false
}

// Env is a set of environment variables by name.
type Env map[string]EnvValue

// EnvValue is a literal value, or where the value is found when the process
// starts. At most one of FromFile and FromEnv is set, and then Value is empty.
type EnvValue struct {
	Value    string
	FromFile string
	FromEnv  string
}

// Duration is a time.Duration written as text ("30s", "5m").
type Duration time.Duration

// Tristate is auto (the zero value), true or false.
type Tristate string

// Values of a Tristate.
const (
	Auto  Tristate = "auto"
	True  Tristate = "true"
	False Tristate = "false"
)
