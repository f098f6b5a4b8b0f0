package render

import (
	"slices"
	"strings"

	"dynctl/actors"
	"dynctl/actors/place"
	"dynctl/router"
	"dynctl/state"
	"dynctl/state/engineflags"
)

// Version is stored with each template. It grows when this program would render
// another template than before for the same spec.
const Version = 4

// What PortRule.Plus may say.
const (
	plusReplica = "replica"
	plusWorker  = "worker"
)

// Seeds of the ports of a worker.
const (
	seedKVAggregated = 20080
	seedKVPrefill    = 20081
	seedNIXL         = 20097
	seedMaster       = 29500
	seedSystem       = 20300
)

// ModelInput is a model and what it takes from its server. Both specs have their
// defaults filled in and are valid.
type ModelInput struct {
	Server     string // its name
	ServerSpec state.ServerSpec
	Model      string // its name
	Spec       state.ModelSpec
	// Parsers are the command lines that the nodes take; where none is known the
	// recorded ones count.
	Parsers engineflags.Set
	// Revision and ServerRevision are stored with the template.
	Revision       uint64
	ServerRevision uint64
}

// Model renders what the workers of a model run. It looks at no other model.
// The error is a rule of routing or placement that the model breaks on its server.
func Model(in ModelInput) (actors.ModelTemplate, *state.Invalid) {
	slug := state.Slug(in.Spec.ServedNameOrModel())
	blind := addresses{etcd: actors.Lit(""), nats: actors.Lit("")}
	hashed, invalid := in.roles(slug, "", blind)
	if invalid != nil {
		return actors.ModelTemplate{}, invalid
	}
	t := actors.ModelTemplate{
		Server:         in.Server,
		Model:          in.Model,
		ServedName:     in.Spec.ServedNameOrModel(),
		Slug:           slug,
		Generation:     modelGeneration(hashed),
		Renderer:       Version,
		Revision:       in.Revision,
		ServerRevision: in.ServerRevision,
	}
	return in.InGeneration(t)
}

// InGeneration fills in what carries the template's generation. The error is that of
// [Model].
func (in ModelInput) InGeneration(t actors.ModelTemplate) (actors.ModelTemplate, *state.Invalid) {
	t.Namespace = actors.Namespace(in.ServerSpec.DynamoNamespace, t.Generation)
	var invalid *state.Invalid
	t.Roles, invalid = in.roles(t.Slug, t.Namespace, addressesOf(in.ServerSpec))
	for i := range t.Roles {
		r := &t.Roles[i]
		r.Needs.OneNode = r.Needs.OneNode || in.dataParallel(r.Role)
		r.Env = append(r.Env, in.readyTimeout(r.Role)...)
	}
	return t, invalid
}

// readyTimeout has an engine that gives up by itself wait as long as the spec says,
// unless a user set it. It is left out of the generation as all timeouts are: it
// changes how long a worker may start, never what it runs.
func (in ModelInput) readyTimeout(role string) []actors.EnvVar {
	value := in.Spec.ReadyTimeout()
	if value == "" || in.given(role)(state.ReadyTimeoutEnv) {
		return nil
	}
	return []actors.EnvVar{{Name: state.ReadyTimeoutEnv, Value: actors.Lit(value)}}
}

// given reports whether a user set a variable of a role's workers, in an env or in
// a runtime_env.
func (in ModelInput) given(role string) func(name string) bool {
	inherited := state.EnvVars(state.MergeRuntimeEnv(in.ServerSpec.RuntimeEnv, in.Spec.RuntimeEnv))
	own := in.ServerSpec.Env.Overlay(in.Spec.RoleEnv(role))
	return func(name string) bool {
		_, ok := inherited.Get(name)
		_, set := own[name]
		return ok || set
	}
}

// dataParallel reports whether a worker has data parallel ranks with GPUs of their own,
// which find each other on one node. It is left out of the generation: it changes
// where a worker may run, never what it runs.
func (in ModelInput) dataParallel(role string) bool {
	_, _, dp, err := in.Spec.ParallelSizes(role)
	return err == nil && dp > 1 && !in.Spec.SharesGPUs(role)
}

func (in ModelInput) roles(slug, namespace string, at addresses) ([]actors.RoleTemplate, *state.Invalid) {
	var roles []actors.RoleTemplate
	for _, role := range in.Spec.Roles() {
		r, invalid := in.role(role, actors.Component(slug, role), namespace, at)
		if invalid != nil {
			return nil, invalid
		}
		roles = append(roles, r)
	}
	return roles, nil
}

func (in ModelInput) role(role, component, namespace string, at addresses) (actors.RoleTemplate, *state.Invalid) {
	m := router.Model{Name: in.Model, Spec: in.Spec}
	decision, invalid := router.ForModel(in.ServerSpec.Router, m)
	if invalid != nil {
		return actors.RoleTemplate{}, invalid
	}
	needs, invalid := in.needs(role)
	if invalid != nil {
		return actors.RoleTemplate{}, invalid
	}
	c := command{
		spec: in.Spec, role: role, table: in.Parsers.For(in.Spec.Engine), planes: planeFlags(in.ServerSpec), router: decision,
		publishes: router.Publishes(in.ServerSpec.Router, m, role),
	}
	if namespace != "" {
		c.endpoint = actors.Endpoint(namespace, component)
	}
	tp, _, dp, err := in.Spec.ParallelSizes(role)
	if err != nil {
		return actors.RoleTemplate{}, state.InvalidOf(err)
	}
	r := actors.RoleTemplate{
		Role:        role,
		Engine:      in.Spec.Engine,
		Needs:       needs,
		Head:        c.head(),
		Tail:        c.tail(),
		RankFlags:   rankFlagsOf(in.Spec.Engine),
		Env:         in.env(c, at),
		RuntimeEnv:  state.MergeRuntimeEnv(in.ServerSpec.RuntimeEnv, in.Spec.RuntimeEnv),
		Ports:       c.ports(dp, needs.OneNode),
		Ranked:      tp > 1,
		InfraActors: infraActors(in.ServerSpec),
		Component:   component,
		Card:        true,
	}
	if !needs.OneNode {
		r.Headless = c.headless()
	}
	return r, nil
}

func (in ModelInput) needs(role string) (actors.Needs, *state.Invalid) {
	gpus, err := in.Spec.GPUsPerWorker(role)
	if err != nil {
		return actors.Needs{}, state.InvalidOf(err)
	}
	placement := in.Spec.RolePlacement(role)
	exclude := placement.ExcludeHeadNode
	if exclude == nil {
		exclude = in.ServerSpec.Placement.ExcludeHeadNode
	}
	return actors.Needs{
		GPUs: gpus,
		CPUs: *in.Spec.RoleResources(role).CPUs,
		// Prefill and decode exchange KV blocks between whole workers, and trtllm
		// would need an MPI launcher.
		OneNode:         role != state.RoleAggregated || in.Spec.Engine == state.EngineTRTLLM,
		ExcludeHeadNode: exclude != nil && *exclude,
		NodeSelector:    placement.NodeSelector,
	}, nil
}

func rankFlagsOf(engine string) string {
	switch engine {
	case state.EngineVLLM:
		return ranksVLLM
	case state.EngineSGLang:
		return ranksSGLang
	}
	return ranksRank0
}

// ports are what a worker listens on. An engine adds its data-parallel rank to
// the ports that it is given itself.
func (c command) ports(dp int, oneNode bool) []actors.PortRule {
	inARow := 0
	if dp > 1 {
		inARow = dp
	}
	var ports []actors.PortRule
	if c.hasNIXL() {
		ports = append(ports, actors.PortRule{Name: actors.PortNIXL, Seed: seedNIXL, Plus: plusWorker, Count: inARow})
	}
	switch {
	case !c.publishes || c.spec.Engine != state.EngineVLLM && c.spec.Engine != state.EngineSGLang:
	case c.role == state.RoleAggregated:
		ports = append(ports, actors.PortRule{Name: actors.PortKV, Seed: seedKVAggregated, Plus: plusReplica, Count: inARow})
	default:
		ports = append(ports, actors.PortRule{Name: actors.PortKV, Seed: seedKVPrefill, Plus: plusWorker, Count: inARow})
	}
	if !oneNode && rankFlagsOf(c.spec.Engine) != ranksRank0 {
		ports = append(ports, actors.PortRule{Name: actors.PortMaster, Seed: seedMaster})
	}
	return append(ports, actors.PortRule{Name: actors.PortSystem, Seed: seedSystem})
}

// hasNIXL reports whether the worker opens a NIXL side channel on a port of ours:
// every disaggregated one of vllm, and an aggregated one whose connector uses NIXL,
// by itself or among others.
func (c command) hasNIXL() bool {
	if c.spec.Engine != state.EngineVLLM {
		return false
	}
	return c.role != state.RoleAggregated || strings.Contains(objectText(c.kvTransfer()), "Nixl")
}

// sharesBlocks reports whether processes beside the worker have to hash a prefix to
// the same KV blocks as it does.
func (c command) sharesBlocks() bool {
	return c.role != state.RoleAggregated || c.publishes || len(c.kvTransfer()) > 0
}

// flashInferBase says where a worker keeps the kernels that it compiles.
const flashInferBase = "FLASHINFER_WORKSPACE_BASE"

// env is a worker's environment: the server's, the model's, then what is managed.
// Dynamo's canaries are not among them: the actor adds them, so that no template
// changes with an upgrade (docs/adr/0016).
func (in ModelInput) env(c command, at addresses) []actors.EnvVar {
	managed := at.env()
	if !in.given(c.role)(flashInferBase) {
		managed = append(managed, actors.EnvVar{Name: flashInferBase, Value: actors.Exp("{RD}/flashinfer")})
	}
	if c.hasNIXL() {
		managed = append(managed, actors.EnvVar{Name: "VLLM_NIXL_SIDE_CHANNEL_PORT", Value: actors.Exp(portOf(self, actors.PortNIXL))})
	}
	if c.sharesBlocks() {
		managed = append(managed, actors.EnvVar{Name: "PYTHONHASHSEED", Value: actors.Lit("0")})
	}
	managed = append(managed,
		actors.EnvVar{Name: "DYN_SYSTEM_PORT", Value: actors.Exp(portOf(self, actors.PortSystem))},
		actors.EnvVar{Name: "DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS", Value: actors.Lit(`["generate"]`)},
		actors.EnvVar{Name: "CUDA_VISIBLE_DEVICES", Value: actors.Exp("{gpus}")},
	)
	return overlayEnv(managed, in.ServerSpec.Env, in.Spec.RoleEnv(c.role))
}

// overlayEnv puts managed variables after those of the users, of which the later
// win. A name stands once.
func overlayEnv(managed []actors.EnvVar, users ...state.Env) []actors.EnvVar {
	given := func(name string, users []state.Env) bool {
		return slices.ContainsFunc(users, func(e state.Env) bool { _, ok := e[name]; return ok })
	}
	var env []actors.EnvVar
	for i, user := range users {
		for _, name := range user.Names() {
			taken := slices.ContainsFunc(managed, func(v actors.EnvVar) bool { return v.Name == name })
			if taken || given(name, users[i+1:]) {
				continue
			}
			v := user[name]
			env = append(env, actors.EnvVar{Name: name, Value: actors.Lit(v.Value), FromFile: v.FromFile, FromEnv: v.FromEnv})
		}
	}
	return append(env, managed...)
}

// addresses is where Dynamo's etcd and NATS are reached.
type addresses struct{ etcd, nats actors.Text }

func addressesOf(s state.ServerSpec) addresses {
	a := addresses{
		etcd: actors.Exp("http://" + ipOf(actors.InfraUnit, place.BundleEtcd) + ":" + portOf(actors.InfraUnit, actors.PortEtcd)),
		nats: actors.Exp("nats://" + ipOf(actors.InfraUnit, place.BundleNATS) + ":" + portOf(actors.InfraUnit, actors.PortNATS)),
	}
	if s.Etcd.Endpoint != "" {
		a.etcd = actors.Lit(s.Etcd.Endpoint)
	}
	if s.NATS.URL != "" {
		a.nats = actors.Lit(s.NATS.URL)
	}
	return a
}

func (a addresses) env() []actors.EnvVar {
	return []actors.EnvVar{{Name: "ETCD_ENDPOINTS", Value: a.etcd}, {Name: "NATS_SERVER", Value: a.nats}}
}
