package actors

import (
	"time"

	"dynctl/state"
)

// A template is rendered once, when a spec revision is accepted, and stored with
// it; units are compared with the stored templates, so a new version of the
// program restarts nothing. ModelTemplate and ServerTemplate are stored; a
// UnitTemplate is made from one of them by choosing a shape and an index, and
// travels in the start event.

// Text is one word of a command line or one value of a variable. When Expand is
// set the agent replaces the placeholders in S: {py} the actor's interpreter,
// {RD} the runtime directory, {gpus} the ids of the GPUs given by Ray, comma
// separated, {ip:UNIT/BUNDLE} the address of a bundle, {port:UNIT/NAME} a port.
// Text that a user wrote is never expanded.
//
// In JSON it is a string, or {"expand": "..."}.
type Text struct {
	S      string
	Expand bool
}

// Lit is text to be taken as it is.
func Lit(s string) Text { return Text{S: s} }

// Exp is text with placeholders.
func Exp(s string) Text { return Text{S: s, Expand: true} }

// EnvVar is one variable of a process: exactly one of Value, FromFile and FromEnv
// counts; the latter two are read where the process starts.
type EnvVar struct {
	Name     string `json:"name"`
	Value    Text   `json:"value,omitzero"`
	FromFile string `json:"fromFile,omitempty"`
	FromEnv  string `json:"fromEnv,omitempty"`
}

// Needs is what one worker needs of the cluster. It is part of the generation;
// the shape chosen for it is not.
type Needs struct {
	GPUs int `json:"gpus"`
	CPUs int `json:"cpus"` // per bundle
	// OneNode forbids more than one bundle.
	OneNode         bool              `json:"oneNode,omitempty"`
	ExcludeHeadNode bool              `json:"excludeHeadNode,omitempty"`
	NodeSelector    map[string]string `json:"nodeSelector,omitempty"`
}

// RoleTemplate is what every worker of one role of a model runs.
type RoleTemplate struct {
	Role   string `json:"role"` // state.RoleAggregated, RolePrefill or RoleDecode
	Engine string `json:"engine"`
	Needs  Needs  `json:"needs"`
	// Head and Tail are the command line before and after the rank flags.
	Head []Text `json:"head"`
	Tail []Text `json:"tail"`
	// Headless replaces Head for ranks above 0 of a multi-node vllm worker.
	Headless []Text `json:"headless,omitempty"`
	// RankFlags says how the ranks of a multi-node worker are told: "vllm"
	// (--nnodes --node-rank --master-addr --master-port), "sglang" (--nnodes
	// --node-rank --dist-init-addr) or "rank0" (only rank 0 runs).
	RankFlags  string     `json:"rankFlags,omitempty"`
	Env        []EnvVar   `json:"env"`
	RuntimeEnv state.Args `json:"runtimeEnv,omitempty"`
	Ports      []PortRule `json:"ports,omitempty"`
	// Ranked puts the rank into the labels of the actors also where there is one
	// bundle: the tensor parallel size is above 1.
	Ranked bool `json:"ranked,omitempty"`
	// InfraActors are the Needs of each actor.
	InfraActors []string `json:"infraActors,omitempty"`
	// Component is the Dynamo component: "{slug}" or "{slug}_{role}".
	Component string `json:"component"`
	// Card reports whether a worker of this role publishes a model card of its own.
	Card bool `json:"card"`
}

// PortRule is a port of a worker before its index is known.
type PortRule struct {
	Name string `json:"name"`
	Seed int    `json:"seed"`
	// Plus is what is added to Seed: "", "replica" or "worker".
	Plus  string `json:"plus,omitempty"`
	Count int    `json:"count,omitempty"` // that many in a row; 0 means 1
}

// ModelTemplate is what an accepted model runs.
type ModelTemplate struct {
	Server     string `json:"server"`
	Model      string `json:"model"`
	ServedName string `json:"servedName"`
	Slug       string `json:"slug"`
	// Generation is the hash over the roles.
	Generation string `json:"generation"`
	// Namespace is "{dynamoNamespace}-{generation}".
	Namespace string         `json:"namespace"`
	Roles     []RoleTemplate `json:"roles"` // decode before prefill
	// Renderer is the version of the renderer that made it.
	Renderer int `json:"renderer"`
	// Revision and ServerRevision are the spec revisions that it was rendered from;
	// ServerRevision is 0 for a server without a spec.
	Revision       uint64 `json:"revision"`
	ServerRevision uint64 `json:"serverRevision"`
	// In and ServerIn are when the buckets of these revisions were made.
	In       time.Time `json:"in,omitzero"`
	ServerIn time.Time `json:"serverIn,omitzero"`
	// Counts are the replicas by role that the spec asked for: what a generation that
	// comes back after a change of the mode runs with.
	Counts map[string]int `json:"counts,omitempty"`
	// Proven reports whether the generation was Ready once. It is noted when a status that
	// says so is read, and is no part of the rendering.
	Proven bool `json:"proven,omitempty"`
}

// ServerTemplate is what an accepted server (or the defaults) runs as its infra
// unit.
type ServerTemplate struct {
	Server string `json:"server"`
	// Generation is the hash over etcd and NATS alone.
	Generation string          `json:"generation"`
	Actors     []ActorTemplate `json:"actors"` // etcd, NATS (where managed), frontend
	Needs      Needs           `json:"needs"`  // CPUs per bundle; no GPU
	Renderer   int             `json:"renderer"`
	// Revision is the spec revision that it was rendered from; 0: the defaults. In is
	// when the bucket of that revision was made.
	Revision uint64    `json:"revision"`
	In       time.Time `json:"in,omitzero"`
	// Router is the answer that the frontend's flags were rendered for.
	Router state.RouterStatus `json:"router"`
}

// FrontendScheme is that of the frontend's URL.
func (t *ServerTemplate) FrontendScheme() string {
	for i := range t.Actors {
		if a := &t.Actors[i]; a.Label == LabelFrontend && a.Health.TLS {
			return "https"
		}
	}
	return "http"
}

// UnitTemplate is everything that the agent needs to make one unit; it is the
// payload of a start event.
type UnitTemplate struct {
	Server         string               `json:"server"`
	Unit           string               `json:"unit"`
	Model          string               `json:"model,omitempty"`
	Role           string               `json:"role,omitempty"`
	Replica        int                  `json:"replica"`
	Worker         int                  `json:"worker"`
	Generation     string               `json:"generation"`
	Restart        string               `json:"restart,omitempty"`
	RayNamespace   string               `json:"rayNamespace"`
	PlacementGroup state.PlacementGroup `json:"placementGroup"` // Name, Strategy, Bundles, Selector
	// PlacementTimeout in seconds; 0: the group waits for nodes to come.
	PlacementTimeout float64         `json:"placementTimeout"`
	Actors           []ActorTemplate `json:"actors"`
	// Digest is the hash over all of it but PlacementTimeout.
	Digest string `json:"digest"`
}

// ActorTemplate is one actor with the process that it executes.
type ActorTemplate struct {
	Name string `json:"name"`
	// Label names the log file RD/{label}.log: the actor's name without the prefix
	// of the server and the generation.
	Label  string `json:"label"`
	Bundle int    `json:"bundle"`
	GPUs   int    `json:"gpus"`
	CPUs   int    `json:"cpus"`
	// Needs are "unit/actor label" that must be Running before the exec: "infra/Dynamo_ETCD".
	Needs      []string   `json:"needs,omitempty"`
	Argv       []Text     `json:"argv"`
	Env        []EnvVar   `json:"env,omitempty"`
	RuntimeEnv state.Args `json:"runtimeEnv,omitempty"`
	Ports      []Port     `json:"ports,omitempty"`
	Health     Health     `json:"health"`
	// Seconds.
	StartupTimeout         float64 `json:"startupTimeout"`
	TerminationGracePeriod float64 `json:"terminationGracePeriod"`
	// KeepData reports whether the runtime directory's data outlives the unit.
	KeepData bool `json:"keepData,omitempty"`
	// Digest is the hash over all of it but Health and the timeouts.
	Digest string `json:"digest"`
}

// Port is a port to be found on the node that runs the bundle.
type Port struct {
	Name  string `json:"name"`
	Seed  int    `json:"seed"`
	Count int    `json:"count,omitempty"` // that many in a row; 0 means 1
	Max   int    `json:"max,omitempty"`   // the highest that will do; 0 means 65535
	// Exact: the seed or nothing (PortConflict).
	Exact bool `json:"exact,omitempty"`
	// Sticky: the port of the last attempt, if it had one, or nothing.
	Sticky bool `json:"sticky,omitempty"`
}

// Health says how a process is found to be ready, and later to hang.
type Health struct {
	// Kind: "http" (GET Path answers 200), "nats" (the port greets as NATS does) or
	// "none" (ready once executed: ranks above 0).
	Kind string `json:"kind"`
	Port string `json:"port,omitempty"` // the name of the port
	Path string `json:"path,omitempty"`
	// TLS: it is asked by https. An agent of an earlier version asks by http.
	TLS bool `json:"tls,omitempty"`
	// Lease: the instance id is read from the worker_id label of GET /metrics on Port.
	Lease bool `json:"lease,omitempty"`
	// FirstWithin in seconds: no success within it after the exec is an exit
	// (the frontend: 5). 0: StartupTimeout alone counts.
	FirstWithin float64 `json:"firstWithin,omitempty"`
	// Every, in seconds, and Failures in a row after a first success, are an exit: of
	// what has a Lease each question without a good answer, else each without any.
	Every    float64 `json:"every,omitempty"`
	Failures int     `json:"failures,omitempty"`
}
