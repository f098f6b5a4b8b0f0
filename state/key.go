package state

import (
	"fmt"
	"strings"
)

// Key names an object in the spec and status buckets.
type Key struct {
	Kind   string // KindServer or KindModel
	Server string
	Name   string // the model's name; empty for a Server
}

// ServerKey is the key of a server.
func ServerKey(server string) Key { return Key{Kind: KindServer, Server: server} }

// ModelKey is the key of a model.
func ModelKey(server, name string) Key { return Key{Kind: KindModel, Server: server, Name: name} }

// ObjectName is the name in the metadata of the object: the server's own, or the model's.
func (k Key) ObjectName() string {
	if k.Kind == KindServer {
		return k.Server
	}
	return k.Name
}

// String is the key as it stands in a bucket: "server.default", "model.default.qwen3-8b".
func (k Key) String() string {
	if k.Kind == KindServer {
		return "server." + k.Server
	}
	return "model." + k.Server + "." + k.Name
}

// Compare orders servers before models, then by server and name.
func (k Key) Compare(o Key) int {
	if k.Kind != o.Kind {
		if k.Kind == KindServer {
			return -1
		}
		return 1
	}
	if c := strings.Compare(k.Server, o.Server); c != 0 {
		return c
	}
	return strings.Compare(k.Name, o.Name)
}

// ParseKey reads a bucket key. Model names may hold dots, server names may not.
func ParseKey(s string) (Key, error) {
	kind, rest, _ := strings.Cut(s, ".")
	switch kind {
	case "server":
		if ValidServerName(rest) {
			return ServerKey(rest), nil
		}
	case "model":
		server, name, _ := strings.Cut(rest, ".")
		if ValidServerName(server) && ValidModelName(name) {
			return ModelKey(server, name), nil
		}
	}
	return Key{}, fmt.Errorf("key %q: want server.<server> or model.<server>.<name>", s)
}
