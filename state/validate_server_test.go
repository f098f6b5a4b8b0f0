package state

import "testing"

// One row per rule of ValidateServer.
func TestValidateServer(t *testing.T) {
	tests := []struct {
		name         string
		edit         func(*Server)
		reason, path string
	}{
		{"valid", func(*Server) {}, "", ""},
		{"external etcd and NATS", func(s *Server) {
			s.Spec.Etcd.Endpoint, s.Spec.NATS.URL = "http://a:2379,http://b:2379", "10.0.0.1:4222"
		}, "", ""},
		{"bad name", func(s *Server) { s.Metadata.Name = "a.b" }, ReasonInvalidName, "metadata.name"},
		{"server of a server", func(s *Server) { s.Metadata.Server = "a" }, ReasonInvalidName, "metadata.server"},
		{"dotted namespace", func(s *Server) { s.Spec.DynamoNamespace = "a.b" }, ReasonInvalidNamespace, "spec.dynamoNamespace"},
		{"unknown request plane", func(s *Server) { s.Spec.RequestPlane = "zmq" }, ReasonUnknownPlane, "spec.requestPlane"},
		{"unknown event plane", func(s *Server) { s.Spec.EventPlane = "tcp" }, ReasonUnknownPlane, "spec.eventPlane"},
		{"not an address", func(s *Server) { s.Spec.Etcd.Endpoint = "http://" }, ReasonInvalidAddress, "spec.etcd.endpoint"},
		{"not a NATS URL", func(s *Server) { s.Spec.NATS.URL = "nats://a b" }, ReasonInvalidAddress, "spec.nats.url"},
		{"not a port", func(s *Server) { s.Spec.Frontend.Port = 70000 }, ReasonInvalidAddress, "spec.frontend.port"},
		{"managed flag of the frontend", func(s *Server) { s.Spec.Frontend.Args = args("http_port", "1") }, ReasonManagedFlag, "spec.frontend.args.http_port"},
		{"router mode in router.args", func(s *Server) { s.Spec.Router.Args = args("router_mode", `"kv"`) }, ReasonReservedRouterArgs, "spec.router.args.router_mode"},
		{"router KV events in router.args", func(s *Server) { s.Spec.Router.Args = args("no-router-kv-events", "true") }, ReasonReservedRouterArgs, "spec.router.args.no-router-kv-events"},
		{"managed flag in router.args", func(s *Server) { s.Spec.Router.Args = args("http_port", "9000") }, ReasonManagedFlag, "spec.router.args.http_port"},
		{"dashes in router.args", func(s *Server) { s.Spec.Router.Args = args("--router-temperature", "1") }, ReasonInvalidArgument, "spec.router.args.--router-temperature"},
		{"dashes in frontend.args", func(s *Server) { s.Spec.Frontend.Args = args("--tls-cert-path", `"x"`) }, ReasonInvalidArgument, "spec.frontend.args.--tls-cert-path"},
		{"managed variable", func(s *Server) { s.Spec.Env = Env{"NATS_SERVER": {Value: "nats://x"}} }, ReasonManagedEnv, "spec.env.NATS_SERVER"},
		{"managed variable in runtimeEnv", func(s *Server) { s.Spec.RuntimeEnv = args("env_vars", `{"DYN_NAMESPACE": "x"}`) }, ReasonManagedEnv, "spec.runtimeEnv.env_vars.DYN_NAMESPACE"},
		{"other router.args", func(s *Server) { s.Spec.Router.Args = args("router_temperature", "0.1") }, "", ""},
		{"unknown router mode", func(s *Server) { s.Spec.Router.Mode = "inherit" }, ReasonUnknownRouterMode, "spec.router.mode"},
		{"kvEvents under auto", func(s *Server) { s.Spec.Router.KVEvents = True }, "", ""},
		{"kvEvents without kv", func(s *Server) { s.Spec.Router = ServerRouter{Mode: "random", KVEvents: True} }, ReasonKVEventsWithoutKV, "spec.router.kvEvents"},
		{"load-aware beside another mode", func(s *Server) { s.Spec.Router.Mode = "random"; s.Spec.Router.Args = args("load_aware", "true") }, ReasonInvalidArgument, "spec.router.args.load_aware"},
		{"load-aware beside KV events", func(s *Server) {
			s.Spec.Router = ServerRouter{Mode: "kv", KVEvents: True}
			s.Spec.Frontend.Args = args("load-aware", "true")
		}, ReasonInvalidArgument, "spec.frontend.args.load-aware"},
		{"load-aware beside kv", func(s *Server) { s.Spec.Router.Mode = "kv"; s.Spec.Router.Args = args("load_aware", "true") }, "", ""},
		{"load-aware by a variable", func(s *Server) { s.Spec.Env = Env{"DYN_ROUTER_LOAD_AWARE": {Value: "1"}} }, ReasonManagedEnv, "spec.env.DYN_ROUTER_LOAD_AWARE"},
		{"unknown apply", func(s *Server) { s.Spec.Router.Apply = "all" }, ReasonUnknownValue, "spec.router.apply"},
		{"managed variable", func(s *Server) { s.Spec.Env = Env{"DYN_REQUEST_PLANE": {}} }, ReasonManagedEnv, "spec.env.DYN_REQUEST_PLANE"},
		{"pip and uv", func(s *Server) { s.Spec.RuntimeEnv = args("pip", `[]`, "uv", `[]`) }, ReasonPipAndUV, "spec.runtimeEnv"},
		{"pip and no uv", func(s *Server) { s.Spec.RuntimeEnv = args("pip", `[]`, "uv", `null`) }, "", ""},
		{"negative backoff", func(s *Server) { s.Spec.Healing.Backoff.Initial = -1 }, ReasonNegativeCount, "spec.healing.backoff.initial"},
		{"max below initial", func(s *Server) { s.Spec.Healing.Backoff.Max = 1 }, ReasonNegativeCount, "spec.healing.backoff.max"},
		{"shrinking backoff", func(s *Server) { s.Spec.Healing.Backoff.Multiplier = 0.5 }, ReasonNegativeCount, "spec.healing.backoff.multiplier"},
		{"jitter above one", func(s *Server) { s.Spec.Healing.Backoff.Jitter = ptr(1.1) }, ReasonNegativeCount, "spec.healing.backoff.jitter"},
		{"a warm pool", func(s *Server) { s.Spec.WarmPool.ProcessesPerNode = MaxWarmProcesses }, "", ""},
		{"a warm pool without end", func(s *Server) { s.Spec.WarmPool.ProcessesPerNode = MaxWarmProcesses + 1 }, ReasonCountTooHigh, "spec.warmPool.processesPerNode"},
		{"a negative warm pool", func(s *Server) { s.Spec.WarmPool.ProcessesPerNode = -1 }, ReasonNegativeCount, "spec.warmPool.processesPerNode"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := Server{Metadata: Metadata{Name: "s"}}
			tt.edit(&s)
			expectOne(t, ValidateServer(s.WithDefaults()), tt.reason, tt.path)
		})
	}
}

func TestDialable(t *testing.T) {
	for _, good := range []string{"http://a:2379", "a:1", "a", "nats://user:p@ss@10.0.0.1:4222", "http://[::1]:2379/", "[::1]"} {
		if !dialable(good) {
			t.Errorf("%q is refused", good)
		}
	}
	for _, bad := range []string{"", "http://", ":2379", "a:b", "a:0", "a:70000", "a b", "http://[]:1", "/a"} {
		if dialable(bad) {
			t.Errorf("%q passes", bad)
		}
	}
}
