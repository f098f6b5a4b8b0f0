package dgd

import (
	"encoding/json"
	"maps"
	"slices"
)

// ConfigMaps are those that stand beside a deployment, by their names.
type ConfigMaps map[string]*ConfigMap

// ConfigMap is one of them.
type ConfigMap struct {
	data map[string]string
	used map[string]bool
}

// KindConfigMap is the kind of the documents that [ConfigMaps.Add] takes.
const KindConfigMap = "ConfigMap"

// Add takes in a document of the kind ConfigMap; another or an unreadable one has
// no values.
func (c ConfigMaps) Add(name string, doc json.RawMessage) {
	var m struct {
		Data map[string]string `json:"data"`
	}
	_ = json.Unmarshal(doc, &m)
	c[name] = &ConfigMap{data: m.Data, used: map[string]bool{}}
}

// Unused are the keys of a map that no deployment has referred to, sorted; used
// reports whether there are others.
func (c ConfigMaps) Unused(name string) (keys []string, used bool) {
	m := c[name]
	if m == nil {
		return nil, false
	}
	for _, key := range slices.Sorted(maps.Keys(m.data)) {
		if !m.used[key] {
			keys = append(keys, key)
		}
	}
	return keys, len(m.used) > 0
}

func (c ConfigMaps) value(name, key string) (string, bool) {
	m := c[name]
	if m == nil {
		return "", false
	}
	value, ok := m.data[key]
	if ok {
		m.used[key] = true
	}
	return value, ok
}

// fill writes out the variables whose values one of the maps has.
func (c ConfigMaps) fill(vars []envVar) {
	for i := range vars {
		from := vars[i].ValueFrom
		if from == nil || from.ConfigMapKeyRef == nil {
			continue
		}
		if value, ok := c.value(from.ConfigMapKeyRef.Name, from.ConfigMapKeyRef.Key); ok {
			vars[i].Value, vars[i].ValueFrom, vars[i].verbatim = value, nil, true
		}
	}
}

// fillComponent does so for a component, and for the maps whose keys all become its
// variables, before those that it names itself: these win, as in Kubernetes.
func (c ConfigMaps) fillComponent(comp *component) {
	c.fill(comp.env)
	var all []envVar
	comp.configs = slices.DeleteFunc(comp.configs, func(from envSource) bool {
		m := c[from.name]
		if m == nil {
			return false
		}
		for _, key := range slices.Sorted(maps.Keys(m.data)) {
			value, _ := c.value(from.name, key)
			all = append(all, envVar{Name: from.prefix + key, Value: value, verbatim: true})
		}
		return true
	})
	comp.env = append(all, comp.env...)
}
