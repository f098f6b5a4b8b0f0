package dgd

import (
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"dynctl/state"
)

// unread are the paths in a document, below the given one, that say something and
// that no field of the type reads, in their order.
func unread(raw json.RawMessage, typ reflect.Type, path string) []string {
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	switch {
	case typ.Kind() == reflect.Slice && typ.Elem().Kind() != reflect.Uint8:
		return unreadItems(raw, typ.Elem(), path)
	case typ.Kind() == reflect.Struct:
		return unreadFields(raw, typ, path)
	}
	return nil // all of it is read
}

func unreadFields(raw json.RawMessage, typ reflect.Type, path string) []string {
	var all state.Args
	if json.Unmarshal(raw, &all) != nil {
		return nil // whoever decodes it says so
	}
	fields := map[string]reflect.Type{}
	for i := range typ.NumField() {
		if name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ","); name != "" {
			fields[name] = typ.Field(i).Type
		}
	}
	var out []string
	for _, a := range all {
		at := strings.TrimPrefix(path+"."+a.Key, ".")
		switch field, known := fields[a.Key]; {
		case known:
			out = append(out, unread(a.Value, field, at)...)
		case !slices.Contains([]string{"null", `""`, "{}", "[]"}, string(a.Value)):
			out = append(out, at)
		}
	}
	return out
}

// unreadItems names an element by its name, where it has one, or else by its place.
func unreadItems(raw json.RawMessage, elem reflect.Type, path string) []string {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		return nil
	}
	var out []string
	for i, item := range list {
		var named struct {
			Name string `json:"name"`
		}
		_ = json.Unmarshal(item, &named)
		if named.Name == "" {
			named.Name = strconv.Itoa(i)
		}
		out = append(out, unread(item, elem, path+"."+named.Name)...)
	}
	return out
}

// short leaves out of a path where in a pod it is, which the field itself tells.
func short(path string) string {
	for _, where := range []string{"extraPodSpec.", "podTemplate.spec.", "mainContainer.", "containers.main.", "containers.0."} {
		path = strings.TrimPrefix(path, where)
	}
	return path
}
