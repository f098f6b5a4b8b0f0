package actors

import (
	"strings"

	"dynctl/state"
)

// What the planner (package plan) and the acceptance have in common beside the templates.

// RuntimeEnv is the runtime_env of the model's workers; the roles share it.
func (t ModelTemplate) RuntimeEnv() state.Args {
	if len(t.Roles) == 0 {
		return nil
	}
	return t.Roles[0].RuntimeEnv
}

// RoleTemplate is what a role runs; nil where the generation has no such role.
func (t *ModelTemplate) RoleTemplate(role string) *RoleTemplate {
	for i := range t.Roles {
		if t.Roles[i].Role == role {
			return &t.Roles[i]
		}
	}
	return nil
}

// IsFrontend reports whether an actor of the infra unit runs the frontend.
func (a ActorTemplate) IsFrontend() bool { return strings.HasPrefix(a.Label, LabelFrontend) }

// RoleName is the name of a role in a status: "aggregated" where a worker has none.
func RoleName(role string) string {
	if role == state.RoleAggregated {
		return state.ModeAggregated
	}
	return role
}

// Replicas is how many workers of a role a spec asks for.
func Replicas(spec state.ModelSpec, role string) int {
	n := spec.Replicas
	switch role {
	case state.RolePrefill:
		n = roleReplicas(spec.Prefill)
	case state.RoleDecode:
		n = roleReplicas(spec.Decode)
	}
	if n == nil {
		return 1
	}
	return *n
}

func roleReplicas(r *state.RoleSpec) *int {
	if r == nil {
		return nil
	}
	return r.Replicas
}

// Key is the key of the model's spec.
func (m *DesiredModel) Key() state.Key { return state.ModelKey(m.Server, m.Name) }

// DeletedForGood reports whether a model is deleted and nobody can take that back: dynctl
// said so, somebody confirmed, or the last status speaks of a delete that was carried out.
func (m DesiredModel) DeletedForGood() bool {
	switch {
	case m.Deleted == nil:
		return false
	case m.Deleted.Now, m.Deleted.Confirmed:
		return true
	case m.Status == nil, m.Status.ObservedRevision != m.Deleted.Revision, !state.SameBucket(m.Status.ObservedIn, m.RevisionIn):
		return false
	}
	c, ok := m.Status.Condition(state.CondReady)
	return ok && c.Reason == CondDeleting
}
