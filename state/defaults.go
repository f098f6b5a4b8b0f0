package state

import (
	"maps"
	"time"
)

// Defaults of a server.
const (
	DefaultDynamoNamespace = "curator"
	DefaultFrontendPort    = 8000
	PlaneNATS              = "nats"
	PlaneTCP               = "tcp"
	PlaneZMQ               = "zmq"
	// ApplyModel carries the routing of disaggregated models in their own model
	// cards; ApplyFrontend passes the resolved answer to the frontend.
	ApplyModel    = "model"
	ApplyFrontend = "frontend"
)

// Defaults of a model.
const (
	DefaultStartupTimeout         = Duration(30 * time.Minute)
	DefaultTerminationGracePeriod = Duration(120 * time.Second)
	UpdateRolling                 = "RollingUpdate"
)

// DefaultedServer is the server of models that no Server spec describes.
func DefaultedServer(name string) Server {
	return Server{APIVersion: APIVersion, Kind: KindServer, Metadata: Metadata{Name: name}}.WithDefaults()
}

// WithDefaults returns a copy of s, sharing nothing with it, in which every field
// that has a default is filled in.
func (s Server) WithDefaults() Server {
	s = s.Clone()
	sp := &s.Spec
	setDefault(&sp.DynamoNamespace, DefaultDynamoNamespace)
	setDefault(&sp.RequestPlane, PlaneNATS)
	setDefault(&sp.EventPlane, PlaneNATS)
	setDefault(&sp.Frontend.Port, DefaultFrontendPort)
	setDefault(&sp.Router.Mode, RouterAuto)
	sp.Router.Mode = NormalizeRouterMode(sp.Router.Mode)
	setDefault(&sp.Router.KVEvents, Auto)
	if sp.Router.Mode == RouterAuto { // beside an explicit mode it says nothing
		setDefault(&sp.Router.Apply, ApplyModel)
	}
	setDefaultPtr(&sp.Placement.ExcludeHeadNode, false)
	setDefault(&sp.Placement.WaitForNodes, Auto)
	b := &sp.Healing.Backoff
	setDefault(&b.Initial, Duration(time.Second))
	setDefault(&b.Max, Duration(5*time.Minute))
	setDefault(&b.Multiplier, 2)
	setDefaultPtr(&b.Jitter, 0.2)
	setDefault(&b.ResetAfter, Duration(10*time.Minute))
	return s
}

// WithDefaults returns a copy of m, sharing nothing with it, in which every field
// that has a default is filled in. What stays nil has a meaning of its own:
// Resources.GPUs, Placement.ExcludeHeadNode, Update.MaxUnavailable, the Replicas
// of a disaggregated model and the roles of an aggregated one. Half of a
// disaggregated pair is left as it is, for validation to reject.
func (m Model) WithDefaults() Model {
	m = m.Clone()
	setDefault(&m.Metadata.Server, DefaultServer)
	sp := &m.Spec
	setDefault(&sp.ServedName, sp.Model)
	setDefault(&sp.Engine, EngineVLLM)
	setDefault(&sp.Mode, ModeAggregated)
	switch sp.Mode {
	case ModeAggregated:
		setDefaultPtr(&sp.Replicas, 1)
	case ModeDisagg:
		if sp.Prefill == nil && sp.Decode == nil {
			sp.Prefill, sp.Decode = &RoleSpec{}, &RoleSpec{}
		}
	}
	for _, role := range []*RoleSpec{sp.Prefill, sp.Decode} {
		if role != nil {
			setDefaultPtr(&role.Replicas, 1)
		}
	}
	setDefault(&sp.Router.Mode, RouterInherit)
	sp.Router.Mode = NormalizeRouterMode(sp.Router.Mode)
	setDefault(&sp.Router.KVEvents, Auto)
	setDefaultPtr(&sp.Resources.CPUs, 1)
	setDefault(&sp.Update.Type, UpdateRolling)
	setDefaultPtr(&sp.Update.MaxSurge, 1)
	setDefault(&sp.StartupTimeout, DefaultStartupTimeout)
	setDefault(&sp.TerminationGracePeriod, DefaultTerminationGracePeriod)
	return m
}

// Clone returns a copy of s that shares nothing with it.
func (s Server) Clone() Server {
	s.Metadata = s.Metadata.clone()
	s.Spec.Frontend.Args = s.Spec.Frontend.Args.Clone()
	s.Spec.Router.Args = s.Spec.Router.Args.Clone()
	s.Spec.Env = maps.Clone(s.Spec.Env)
	s.Spec.RuntimeEnv = s.Spec.RuntimeEnv.Clone()
	s.Spec.Placement = s.Spec.Placement.clone()
	s.Spec.Healing.Backoff.Jitter = clonePtr(s.Spec.Healing.Backoff.Jitter)
	return s
}

// Clone returns a copy of m that shares nothing with it.
func (m Model) Clone() Model {
	m.Metadata = m.Metadata.clone()
	sp := &m.Spec
	sp.Replicas = clonePtr(sp.Replicas)
	sp.Prefill = sp.Prefill.clone()
	sp.Decode = sp.Decode.clone()
	sp.EngineArgs = sp.EngineArgs.Clone()
	sp.DynamoArgs = sp.DynamoArgs.Clone()
	sp.KVEventsConfig = sp.KVEventsConfig.Clone()
	sp.KVTransferConfig = sp.KVTransferConfig.Clone()
	sp.Env = maps.Clone(sp.Env)
	sp.RuntimeEnv = sp.RuntimeEnv.Clone()
	sp.Resources = sp.Resources.clone()
	sp.Placement = sp.Placement.clone()
	sp.Update.MaxSurge = clonePtr(sp.Update.MaxSurge)
	sp.Update.MaxUnavailable = clonePtr(sp.Update.MaxUnavailable)
	return m
}

func (m Metadata) clone() Metadata {
	m.Labels = maps.Clone(m.Labels)
	m.Annotations = maps.Clone(m.Annotations)
	return m
}

func (r ResourcesSpec) clone() ResourcesSpec {
	return ResourcesSpec{GPUs: clonePtr(r.GPUs), CPUs: clonePtr(r.CPUs)}
}

func (p PlacementSpec) clone() PlacementSpec {
	p.ExcludeHeadNode = clonePtr(p.ExcludeHeadNode)
	p.NodeSelector = maps.Clone(p.NodeSelector)
	return p
}

func (r *RoleSpec) clone() *RoleSpec {
	if r == nil {
		return nil
	}
	return &RoleSpec{
		Replicas:         clonePtr(r.Replicas),
		EngineArgs:       r.EngineArgs.Clone(),
		DynamoArgs:       r.DynamoArgs.Clone(),
		KVEventsConfig:   r.KVEventsConfig.Clone(),
		KVTransferConfig: r.KVTransferConfig.Clone(),
		Env:              maps.Clone(r.Env),
		Resources:        r.Resources.clone(),
		Placement:        r.Placement.clone(),
	}
}

func clonePtr[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func setDefaultPtr[T any](field **T, value T) {
	if *field == nil {
		*field = &value
	}
}
