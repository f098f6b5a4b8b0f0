package main

import (
	"strings"

	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/state"
)

// ref is an object as named on the command line: model/NAME or server/NAME.
type ref struct {
	kind string // state.KindModel or state.KindServer
	name string
}

func (r ref) String() string {
	if r.kind == state.KindServer {
		return "server/" + r.name
	}
	return "model/" + r.name
}

// refOf is a key as a person names it.
func refOf(k state.Key) ref { return ref{k.Kind, k.ObjectName()} }

// parseRef reads model/NAME or server/NAME; a bare NAME is a model.
func parseRef(s string) (ref, error) {
	kind, name, ok := strings.Cut(s, "/")
	if !ok {
		kind, name = "model", s
	}
	switch kind {
	case "model", "models":
		if !state.ValidModelName(name) {
			return ref{}, exit.Usagef("%q is no model name: want lower-case letters, digits, '-', '_' and '.', at most 63 (model/NAME)", name)
		}
		return ref{state.KindModel, name}, nil
	case "server", "servers":
		if !state.ValidServerName(name) {
			return ref{}, exit.Usagef("%q is no server name: want lower-case letters, digits and '-', at most 63 (server/NAME)", name)
		}
		return ref{state.KindServer, name}, nil
	}
	return ref{}, exit.Usagef("%q names no object: want model/NAME or server/NAME", s)
}
