package actors

import (
	"encoding/json"
	"slices"

	"dynctl/state"
)

// Hidden is the template without the values that may be secrets: literal values of
// variables, of the runtime environment too, and what URLs hold. It reports whether
// there are any. It is for what is stored and shown; the digests are the whole one's.
func (t UnitTemplate) Hidden() (hidden UnitTemplate, hides bool) {
	t.Actors = slices.Clone(t.Actors)
	for i := range t.Actors {
		if t.Actors[i].hide() {
			hides = true
		}
	}
	return t, hides
}

// hide hides the secrets of an actor in place, in copies of what others hold.
func (a *ActorTemplate) hide() (hides bool) {
	a.Env, a.Argv = slices.Clone(a.Env), slices.Clone(a.Argv)
	for i := range a.Env {
		v := &a.Env[i].Value
		if s := state.HideValue(v.S); !v.Expand && s != v.S {
			v.S, hides = s, true
		}
	}
	for i := range a.Argv {
		w := &a.Argv[i]
		if s := state.HideSecrets(w.S); !w.Expand && s != w.S {
			w.S, hides = s, true
		}
	}
	vars, ok := a.RuntimeEnv.Get("env_vars")
	var object state.Args
	if !ok || json.Unmarshal(vars, &object) != nil {
		return hides
	}
	for i, x := range object {
		var text string
		if json.Unmarshal(x.Value, &text) == nil && state.HideValue(text) != text {
			object[i].Value, hides = json.RawMessage(`"`+state.HiddenSecret+`"`), true
		}
	}
	if raw, err := object.MarshalJSON(); err == nil {
		a.RuntimeEnv = a.RuntimeEnv.Clone().With("env_vars", raw)
	}
	return hides
}
