package dgd

import (
	"slices"
	"strings"

	"dynctl/state"
)

// environment takes in the variables of a worker.
func (c *converter) environment(w *worker, fromScript []envVar) {
	var rest []envVar
	for _, v := range slices.Concat(w.env, fromScript) {
		switch {
		case v.ValueFrom != nil:
			rest = append(rest, v)
		case v.Name == envRequestPlane:
			c.set(&c.server.Spec.RequestPlane, v.Value, "request plane", w.name)
		case v.Name == envEventPlane:
			c.set(&c.server.Spec.EventPlane, v.Value, "event plane", w.name)
		case v.Name == "DYN_CONNECTOR":
			c.connector(w, strings.FieldsFunc(v.Value, func(r rune) bool { return r == ' ' || r == ',' }))
		default:
			rest = append(rest, v)
		}
	}
	c.setEnv(&w.vars, rest, w.name)
	c.secrets(w.component)
}

// setEnv adds variables to an environment. What a Secret or a ConfigMap holds is
// read from the environment of the Ray nodes instead.
func (c *converter) setEnv(dst *state.Env, vars []envVar, where string) {
	for _, v := range vars {
		if state.ManagedVariable(v.Name) {
			c.note("%s: the variable %s is left out, for dynctl sets it itself", where, v.Name)
			continue
		}
		value := state.EnvValue{Value: v.Value}
		switch from := v.ValueFrom; {
		case v.untold:
			c.note("%s: the variable %s is left out, for its value is known only when the pod starts: %s", where, v.Name, v.Value)
			continue
		case from == nil:
		case from.SecretKeyRef != nil:
			value = state.EnvValue{FromEnv: v.Name}
			c.note("%s: %s came from the key %s of the Secret %s; it is taken from the environment of Ray now (or name a file with fromFile)",
				where, v.Name, from.SecretKeyRef.Key, from.SecretKeyRef.Name)
		case from.ConfigMapKeyRef != nil:
			value = state.EnvValue{FromEnv: v.Name}
			c.note("%s: %s came from the key %s of the ConfigMap %s; it is taken from the environment of Ray now (or write its value)",
				where, v.Name, from.ConfigMapKeyRef.Key, from.ConfigMapKeyRef.Name)
		default:
			c.note("%s: the variable %s is left out, for only a pod knows its value", where, v.Name)
			continue
		}
		if *dst == nil {
			*dst = state.Env{}
		}
		(*dst)[v.Name] = value
	}
}

func (s envSource) String() string {
	if s.prefix == "" {
		return s.name
	}
	return s.name + ", each with " + s.prefix + " before its name,"
}

// secrets names the objects whose keys all become variables: which they are is not
// written here.
func (c *converter) secrets(comp component) {
	for _, from := range comp.secrets {
		c.note("%s: the variables of the Secret %s are left out; name those that are needed, for example env: {HF_TOKEN: {fromEnv: HF_TOKEN}}", comp.name, from)
	}
	for _, from := range comp.configs {
		c.note("%s: the variables of the ConfigMap %s are left out; write those that are needed into env", comp.name, from)
	}
}
