package offline

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"dynctl/actors"
	"dynctl/actors/place"
	"dynctl/state"
)

// The vectors are recorded outputs of NeMo Curator's Dynamo backend. This file
// reads them and maps its inputs to our specs; curator_rules_test.go holds what
// differs, as rules that apply to every case.

// recordedGeneration is the short id that stands in every recorded name.
const recordedGeneration = "abcd1234"

type vector struct {
	Name  string          `json:"name"`
	Input json.RawMessage `json:"input"`
	Want  struct {
		OK    json.RawMessage `json:"ok"`
		Error *struct {
			Kind string `json:"kind"`
		} `json:"error"`
		Ops []recordedOp `json:"ops"`
	} `json:"want"`
}

// forVectors runs a subtest for each vector of a file.
func forVectors[In any](t *testing.T, file string, run func(t *testing.T, v vector, in In)) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "vectors", file+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var vectors []vector
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			var in In
			if err := json.Unmarshal(v.Input, &in); err != nil {
				t.Fatal(err)
			}
			run(t, v, in)
		})
	}
}

// wantOK decodes what a vector wants where it wants no error.
func wantOK[T any](t *testing.T, v vector) T {
	t.Helper()
	var want T
	if err := json.Unmarshal(v.Want.OK, &want); err != nil {
		t.Fatalf("want.ok is %s: %v", v.Want.OK, err)
	}
	return want
}

// pairs is an ordered array of [key, value].
type pairs state.Args

func (p *pairs) UnmarshalJSON(data []byte) error {
	var list [][2]json.RawMessage
	if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	*p = nil
	for _, kv := range list {
		var key string
		if err := json.Unmarshal(kv[0], &key); err != nil {
			return err
		}
		*p = append(*p, state.Arg{Key: key, Value: kv[1]})
	}
	return nil
}

type curatorNode struct {
	ID    string  `json:"id"`
	GPUs  float64 `json:"gpus"`
	Head  bool    `json:"head"`
	Alive bool    `json:"alive"`
}

// rooms are the nodes as Ray would report them, the driver's fractions cut off.
func rooms(nodes []curatorNode) []place.Room { return place.Empty(stateNodes(nodes)) }

func stateNodes(nodes []curatorNode) []state.Node {
	var out []state.Node
	for _, n := range nodes {
		out = append(out, state.Node{ID: n.ID, GPUs: int(n.GPUs), Head: n.Head, Alive: n.Alive})
	}
	return out
}

// ignoreHead reads the environment variable of Curator that excludes head nodes.
func ignoreHead(env *string) bool {
	if env == nil {
		return false
	}
	switch strings.ToLower(strings.TrimSpace(*env)) {
	case "1", "true", "yes":
		return true
	}
	return false
}

type curatorRole struct {
	Replicas   *int  `json:"num_replicas"`
	EngineArgs pairs `json:"engine_kwargs"`
}

func (r *curatorRole) spec() *state.RoleSpec {
	if r == nil {
		return nil
	}
	return &state.RoleSpec{Replicas: r.Replicas, EngineArgs: state.Args(r.EngineArgs)}
}

type curatorModel struct {
	Identifier       string       `json:"model_identifier"`
	ModelName        string       `json:"model_name"`
	Mode             string       `json:"mode"`
	Replicas         *int         `json:"num_replicas"`
	EngineArgs       pairs        `json:"engine_kwargs"`
	DynamoArgs       pairs        `json:"dynamo_kwargs"`
	KVEventsConfig   pairs        `json:"kv_events_config"`
	KVTransferConfig pairs        `json:"kv_transfer_config"`
	RuntimeEnv       state.Args   `json:"runtime_env"`
	Prefill          *curatorRole `json:"prefill"`
	Decode           *curatorRole `json:"decode"`
}

func (m curatorModel) servedName() string {
	if m.ModelName != "" {
		return m.ModelName
	}
	return m.Identifier
}

// model is the spec, named after the slug.
func (m curatorModel) model() state.Model {
	spec := state.ModelSpec{
		Model:            m.Identifier,
		ServedName:       m.ModelName,
		Mode:             m.Mode,
		EngineArgs:       state.Args(m.EngineArgs),
		DynamoArgs:       state.Args(m.DynamoArgs),
		KVEventsConfig:   state.Args(m.KVEventsConfig),
		KVTransferConfig: state.Args(m.KVTransferConfig),
		RuntimeEnv:       m.RuntimeEnv,
		Prefill:          m.Prefill.spec(),
		Decode:           m.Decode.spec(),
	}
	if m.Mode != state.ModeDisagg {
		spec.Replicas = m.Replicas
	}
	return state.Model{
		Metadata: state.Metadata{Name: strings.ReplaceAll(state.Slug(m.servedName()), "_", "-")},
		Spec:     spec,
	}.WithDefaults()
}

type curatorRouter struct {
	Mode     *string `json:"mode"`
	KVEvents *bool   `json:"kv_events"`
	Args     pairs   `json:"router_kwargs"`
}

// spec is the router of a server. kv_events is Curator's false unless it is given,
// which is our auto.
func (r curatorRouter) spec(apply string) state.ServerRouter {
	s := state.ServerRouter{Mode: state.RouterAuto, Apply: apply, Args: state.Args(r.Args)}
	if r.Mode != nil && *r.Mode != "" {
		s.Mode = *r.Mode
	}
	if r.KVEvents != nil && *r.KVEvents {
		s.KVEvents = state.True
	}
	return s
}

type curatorBackend struct {
	Namespace     string            `json:"namespace"`
	RequestPlane  string            `json:"request_plane"`
	EventPlane    string            `json:"event_plane"`
	EtcdEndpoint  string            `json:"etcd_endpoint"`
	NATSURL       string            `json:"nats_url"`
	Router        curatorRouter     `json:"router"`
	SubprocessEnv map[string]string `json:"subprocess_env"`
}

func (b curatorBackend) server(name string, port int, apply string) state.Server {
	return state.Server{
		Metadata: state.Metadata{Name: name},
		Spec: state.ServerSpec{
			DynamoNamespace: b.Namespace,
			RequestPlane:    b.RequestPlane,
			EventPlane:      b.EventPlane,
			Etcd:            state.EtcdSpec{Endpoint: b.EtcdEndpoint},
			NATS:            state.NATSSpec{URL: b.NATSURL},
			Frontend:        state.FrontendSpec{Port: port},
			Router:          b.Router.spec(apply),
			Env:             literalEnv(b.SubprocessEnv),
		},
	}.WithDefaults()
}

// literalEnv is an env without what Curator passes through it for the addresses.
func literalEnv(vars map[string]string) state.Env {
	env := state.Env{}
	for name, value := range vars {
		if name != "ETCD_ENDPOINTS" && name != "NATS_SERVER" {
			env[name] = state.EnvValue{Value: value}
		}
	}
	return env
}

// recordedOp is one thing that Curator did.
type recordedOp struct {
	Op       string              `json:"op"`
	Name     string              `json:"name"`
	Bundles  []state.BundleShape `json:"bundles"`
	Strategy string              `json:"strategy"`
	Selector []map[string]string `json:"bundle_label_selector"`
	PG       string              `json:"pg"`
	Bundle   int                 `json:"bundle"`
	GPUs     int                 `json:"num_gpus"`
	CPUs     int                 `json:"num_cpus"`
	Actor    string              `json:"actor"`
	Command  []string            `json:"command"`
	Python   []string            `json:"python_args"`
	Env      map[string]string   `json:"env"`
	LogFile  string              `json:"log_file"`
	Start    int                 `json:"start"`
	Got      int                 `json:"got"`
}

// world is what runs: recorded, or rendered by us.
type world struct {
	Groups []RenderedGroup
	Actors []worldActor
	// ports are the ports found, in the order of the search; of a record only.
	ports []recordedOp
}

type worldActor struct {
	Name   string
	Group  string
	Bundle int
	GPUs   int
	Argv   []string
	Env    map[string]string
}

// recorded is the world that a record left.
func recorded(ops []recordedOp) *world {
	w := &world{}
	for _, op := range ops {
		switch op.Op {
		case "create_pg":
			w.Groups = append(w.Groups, RenderedGroup{Name: op.Name, Strategy: op.Strategy, Bundles: op.Bundles, Selector: op.Selector})
		case "create_actor":
			w.Actors = append(w.Actors, worldActor{Name: op.Name, Group: op.PG, Bundle: op.Bundle, GPUs: op.GPUs})
		case "bundle_port":
			w.ports = append(w.ports, op)
		case "launch":
			a := w.actor(op.Actor)
			a.Argv, a.Env = op.Command, op.Env
			if op.Command == nil {
				a.Argv = append([]string{"{py}"}, op.Python...)
			}
		}
	}
	return w
}

func (w *world) actor(name string) *worldActor {
	for i := range w.Actors {
		if w.Actors[i].Name == name {
			return &w.Actors[i]
		}
	}
	return nil
}

// worldOf is the world that we render.
func worldOf(r Rendered) *world {
	w := &world{Groups: r.PlacementGroups}
	for _, a := range r.Actors {
		env := map[string]string{}
		for name, value := range a.Env {
			env[name] = value.Value
		}
		w.Actors = append(w.Actors, worldActor{
			Name: a.Name, Group: a.PlacementGroup, Bundle: a.Bundle, GPUs: a.GPUs, Argv: a.Argv, Env: env,
		})
	}
	return w
}

func (a worldActor) isWorker() bool { return a.GPUs > 0 }

func (a worldActor) isFrontend() bool { return strings.HasSuffix(a.Name, actors.LabelFrontend) }

// index of a word in the command line, or -1.
func (a worldActor) index(word string) int {
	for i, w := range a.Argv {
		if w == word {
			return i
		}
	}
	return -1
}

// insert puts words before an index.
func (a *worldActor) insert(at int, words ...string) {
	a.Argv = append(a.Argv[:at:at], append(words, a.Argv[at:]...)...)
}

// replaceAll replaces text in the command line and the environment.
func (a *worldActor) replaceAll(pattern *regexp.Regexp, by string) {
	for i := range a.Argv {
		a.Argv[i] = pattern.ReplaceAllString(a.Argv[i], by)
	}
	for name, value := range a.Env {
		a.Env[name] = pattern.ReplaceAllString(value, by)
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
