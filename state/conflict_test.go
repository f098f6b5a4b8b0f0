package state

import (
	"strings"
	"testing"
)

func TestConflictModels(t *testing.T) {
	named := func(name, served, mode string) Model {
		return Model{Metadata: Metadata{Name: name}, Spec: ModelSpec{Model: served, Mode: mode}}.WithDefaults()
	}
	elsewhere := named("b", "x", "")
	elsewhere.Metadata.Server = "other"
	tests := []struct {
		name   string
		m, o   Model
		reason string
	}{
		{"itself", named("a", "x", ""), named("a", "x", ""), ""},
		{"another server", named("a", "x", ""), elsewhere, ""},
		{"served name", named("a", "x", ""), named("b", "x", ""), ReasonDuplicateServedName},
		{"slug", named("a", "x.1", ""), named("b", "x-1", ""), ReasonSlugConflict},
		{"endpoint of decode", named("a", "m", ModeDisagg), named("b", "m-decode", ""), ReasonEndpointConflict},
		{"endpoint of prefill", named("a", "m-prefill", ""), named("b", "m", ModeDisagg), ReasonEndpointConflict},
		{"no endpoint of a role", named("a", "m", ""), named("b", "m-decode", ""), ""},
		// FIX: the actor label is made from the slug, not from what follows the last "/".
		{"actor label", named("a", "x/foo", ""), named("b", "y/foo", ""), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			reason := ""
			if invalid := ConflictModels(tt.m, []Model{tt.o}); invalid != nil {
				reason = invalid.Reason
			}
			if reason != tt.reason {
				t.Errorf("got %q, want %q", reason, tt.reason)
			}
		})
	}
}

func TestConflictServers(t *testing.T) {
	named := func(name, etcd, namespace string) Server {
		s := DefaultedServer(name)
		s.Spec.Etcd.Endpoint, s.Spec.DynamoNamespace = etcd, namespace
		return s
	}
	const etcd = "http://e:2379"
	tests := []struct {
		name     string
		s, o     Server
		conflict bool
	}{
		{"managed etcds", named("a", "", "x"), named("b", "", "x"), false},
		{"itself", named("a", etcd, "x"), named("a", etcd, "x"), false},
		{"equal", named("a", etcd, "x"), named("b", etcd, "x"), true},
		{"a prefix", named("a", etcd, "x"), named("b", etcd, "x-y"), true},
		{"the other's prefix", named("a", etcd, "x-y"), named("b", etcd, "x"), true},
		{"a prefix without the dash", named("a", etcd, "x"), named("b", etcd, "xy"), false},
		{"another etcd", named("a", etcd, "x"), named("b", "http://f:2379", "x"), false},
		{"one of several endpoints", named("a", "http://d:2379, "+etcd+"/", "x"), named("b", "E:2379", "x"), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if invalid := ConflictServers(tt.s, []Server{tt.o}); (invalid != nil) != tt.conflict {
				t.Errorf("got %v", invalid)
			}
		})
	}
}

func TestCheckMove(t *testing.T) {
	tests := []struct {
		name string
		edit func(*Server)
		path string
	}{
		{"nothing", func(*Server) {}, ""},
		{"the frontend", func(s *Server) { s.Spec.Frontend.Port = 9000 }, ""},
		{"namespace", func(s *Server) { s.Spec.DynamoNamespace = "y" }, "spec.dynamoNamespace"},
		{"etcd", func(s *Server) { s.Spec.Etcd.Endpoint = "http://e:1" }, "spec.etcd.endpoint"},
		{"NATS", func(s *Server) { s.Spec.NATS.URL = "nats://n:1" }, "spec.nats.url"},
		{"head node", func(s *Server) { s.Spec.Placement.ExcludeHeadNode = ptr(true) }, "spec.placement.excludeHeadNode"},
		{"node selector", func(s *Server) { s.Spec.Placement.NodeSelector = map[string]string{"a": "b"} }, "spec.placement.nodeSelector"},
		{"allowed", func(s *Server) {
			s.Spec.DynamoNamespace = "y"
			s.Metadata.Annotations = map[string]string{RecreateAnnotation: "7"}
		}, ""},
		{"allowed for another revision", func(s *Server) {
			s.Spec.DynamoNamespace = "y"
			s.Metadata.Annotations = map[string]string{RecreateAnnotation: "6"}
		}, "spec.dynamoNamespace"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			now := DefaultedServer("s")
			tt.edit(&now)
			path := ""
			if invalid := CheckMove(DefaultedServer("s"), now, 7); invalid != nil {
				path = invalid.Path
				if !strings.Contains(invalid.Message, `dynctl/recreate: "7"`) {
					t.Errorf("no way out: %s", invalid.Message)
				}
			}
			if path != tt.path {
				t.Errorf("got %q, want %q", path, tt.path)
			}
		})
	}
}

func TestNames(t *testing.T) {
	long := strings.Repeat("a", 63)
	tests := []struct {
		name          string
		server, model bool
	}{
		{"a", true, true}, {"a-b", true, true}, {"a.b", false, true}, {"a_b", false, true}, {"0", true, true}, {long, true, true},
		{"", false, false}, {"-a", false, false}, {"a-", false, false}, {"A", false, false}, {"a b", false, false}, {long + "a", false, false}, {"ä", false, false}, {"a..b", false, true},
	}
	for _, tt := range tests {
		if ValidServerName(tt.name) != tt.server || ValidModelName(tt.name) != tt.model {
			t.Errorf("%q: server %t, model %t", tt.name, !tt.server, !tt.model)
		}
	}
}
