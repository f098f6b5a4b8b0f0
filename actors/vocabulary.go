package actors

import (
	"strings"

	"dynctl/state"
)

// What the planner (package plan) needs of this package's words beside the templates.

// Releases are the releases of Dynamo on the nodes, oldest first.
type Releases struct{ on []nodeDynamo }

// ReleasesOn lists the releases on the nodes that are alive and tell one.
func ReleasesOn(nodes []state.Node) Releases { return Releases{dynamoOn(nodes)} }

// TooOld says why nothing of a model or a server with that runtime_env is started while
// a node has a Dynamo that is too old; empty where none has.
func (r Releases) TooOld(env state.Args) string { return tooOld(r.on, env) }

// NoCards reports whether a node has a Dynamo whose workers refuse a routing of their own.
func (r Releases) NoCards() bool { return noCards(r.on) }

// Ranks is the number of actors of a unit on its shape: none where that is not known yet.
func (in UnitInput) Ranks() int { return in.ranks() }

// RuntimeEnv is the runtime_env of the model's workers; the roles share it.
func (t ModelTemplate) RuntimeEnv() state.Args { return t.runtimeEnv() }

// RoleTemplate is what a role runs; nil where the generation has no such role.
func (t *ModelTemplate) RoleTemplate(role string) *RoleTemplate { return t.role(role) }

// Replicas is how many workers of a role a spec asks for.
func Replicas(spec state.ModelSpec, role string) int { return desiredReplicas(spec, role) }

// IsFrontend reports whether an actor of the infra unit runs the frontend.
func (a ActorTemplate) IsFrontend() bool { return strings.HasPrefix(a.Label, LabelFrontend) }

// DeletedForGood reports whether a model is deleted and nobody can take that back: dynctl
// said so, somebody confirmed, or the last status speaks of a delete that was carried out.
func (m DesiredModel) DeletedForGood() bool { return leaving(m) }
