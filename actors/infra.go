package actors

import (
	"slices"

	"dynctl/state"
	"dynctl/state/engineflags"
)

// Bundles of the infra unit. Each exists also where its service is external, so
// that a service keeps its bundle.
const (
	bundleEtcd = iota
	bundleNATS
	bundleFrontend
	infraBundles
)

// Seeds of the ports of the infra unit; the frontend's is its spec's.
const (
	seedEtcd     = 2379
	seedEtcdPeer = seedEtcd + 1
	seedNATS     = 4222
)

// Seconds that a service of the infra unit may take to start, and etcd and NATS
// to stop. The actor doubles the frontend's first limit with each failure in a row,
// and gives one that computes six times as long.
const (
	infraStartup       = 30
	servicesStop       = 10
	frontendFirst200   = 5
	infraAsked         = 2 // so often, in seconds, and after so many questions without any
	infraSilent        = 4 // answer it hangs: long before the leases of workers end (30 s)
	defaultMigrations  = "3"
	frontendWorkers    = "8"
	frontendMaxThreads = "16"
)

// ServerInput is a server and the routing that its frontend carries. The spec has
// its defaults filled in and is valid.
type ServerInput struct {
	Server   string // its name
	Spec     state.ServerSpec
	Router   state.RouterStatus
	Revision uint64 // stored with the template
	// Parsers are the command lines that the nodes take; where none is known the
	// recorded ones count.
	Parsers engineflags.Set
}

// RenderServer renders what the infra unit of a server runs: etcd and NATS where
// they are managed, and the frontend.
func RenderServer(in ServerInput) ServerTemplate {
	needs := Needs{
		CPUs:            1,
		ExcludeHeadNode: in.Spec.Placement.ExcludeHeadNode != nil && *in.Spec.Placement.ExcludeHeadNode,
		NodeSelector:    in.Spec.Placement.NodeSelector,
	}
	var services []ActorTemplate
	if in.Spec.Etcd.Endpoint == "" {
		services = append(services, etcd())
	}
	if in.Spec.NATS.URL == "" {
		services = append(services, nats())
	}
	t := ServerTemplate{
		Server:     in.Server,
		Generation: infraGeneration(services, in.Spec, needs),
		Actors:     append(services, in.frontend()),
		Needs:      needs,
		Renderer:   Renderer,
		Router: state.RouterStatus{
			Mode: in.Router.Mode, KVEvents: in.Router.KVEvents,
			Source: in.Router.Source, Because: in.Router.Because,
		},
	}
	return t.inGeneration(t.Generation)
}

// inGeneration names the actors of a generation.
func (t ServerTemplate) inGeneration(generation string) ServerTemplate {
	t.Generation = generation
	t.Actors = slices.Clone(t.Actors)
	for i := range t.Actors {
		a := &t.Actors[i]
		a.Name = ActorName(t.Server, generation, a.Label)
		a.CPUs = t.Needs.CPUs
		a.Digest = a.digest()
	}
	return t
}

// infraActors are the actors that Dynamo processes wait for.
func infraActors(s state.ServerSpec) []string {
	var needs []string
	if s.Etcd.Endpoint == "" {
		needs = append(needs, InfraUnit+"/"+LabelEtcd)
	}
	if s.NATS.URL == "" {
		needs = append(needs, InfraUnit+"/"+LabelNATS)
	}
	return needs
}

func etcd() ActorTemplate {
	client := portOf(InfraUnit, PortEtcd)
	peer := "http://127.0.0.1:" + portOf(InfraUnit, PortEtcdPeer)
	return ActorTemplate{
		Label:  LabelEtcd,
		Bundle: bundleEtcd,
		Argv: []Text{
			Lit("etcd"),
			Lit("--listen-client-urls"), Exp("http://0.0.0.0:" + client),
			Lit("--advertise-client-urls"), Exp("http://" + ipOf(InfraUnit, bundleEtcd) + ":" + client),
			Lit("--listen-peer-urls"), Exp(peer),
			Lit("--initial-advertise-peer-urls"), Exp(peer),
			Lit("--initial-cluster"), Exp("default=" + peer),
			Lit("--data-dir"), Exp("{RD}/etcd_data"),
		},
		Env: []EnvVar{{Name: "ALLOW_NONE_AUTHENTICATION", Value: Lit("yes")}},
		Ports: []Port{
			{Name: PortEtcd, Seed: seedEtcd, Sticky: true},
			{Name: PortEtcdPeer, Seed: seedEtcdPeer, Sticky: true},
		},
		Health:                 Health{Kind: "http", Port: PortEtcd, Path: "/health", Every: infraAsked, Failures: infraSilent},
		StartupTimeout:         infraStartup,
		TerminationGracePeriod: servicesStop,
		KeepData:               true,
	}
}

func nats() ActorTemplate {
	return ActorTemplate{
		Label:  LabelNATS,
		Bundle: bundleNATS,
		Argv: []Text{
			Lit("nats-server"), Lit("-p"), Exp(portOf(InfraUnit, PortNATS)), Lit("-js"),
			Lit("--store_dir"), Exp("{RD}/nats_data"),
		},
		Ports:                  []Port{{Name: PortNATS, Seed: seedNATS, Sticky: true}},
		Health:                 Health{Kind: "nats", Port: PortNATS, Every: infraAsked, Failures: infraSilent},
		StartupTimeout:         infraStartup,
		TerminationGracePeriod: servicesStop,
		KeepData:               true,
	}
}

func (in ServerInput) frontend() ActorTemplate {
	managed := addressesOf(in.Spec).env()
	if in.Router.Mode != "" {
		managed = append(managed, EnvVar{Name: "PYTHONHASHSEED", Value: Lit("0")})
	}
	// With its own defaults the frontend hangs at its start on machines with few CPUs.
	for _, v := range []EnvVar{
		{Name: "DYN_RUNTIME_NUM_WORKER_THREADS", Value: Lit(frontendWorkers)},
		{Name: "DYN_RUNTIME_MAX_BLOCKING_THREADS", Value: Lit(frontendMaxThreads)},
	} {
		if _, given := in.Spec.Env[v.Name]; !given {
			managed = append(managed, v)
		}
	}
	return ActorTemplate{
		Label:      LabelFrontend,
		Bundle:     bundleFrontend,
		Needs:      infraActors(in.Spec),
		Argv:       in.frontendArgv(),
		Env:        overlayEnv(managed, in.Spec.Env),
		RuntimeEnv: in.Spec.RuntimeEnv.Clone(),
		Ports:      []Port{{Name: PortHTTP, Seed: in.Spec.Frontend.Port, Exact: true}},
		Health: Health{Kind: "http", Port: PortHTTP, Path: "/health", FirstWithin: frontendFirst200,
			Every: infraAsked, Failures: infraSilent},
		StartupTimeout:         infraStartup,
		TerminationGracePeriod: state.DefaultTerminationGracePeriod.Seconds(),
	}
}

func (in ServerInput) frontendArgv() []Text {
	words := []Text{Exp("{py}")}
	words = append(words, lits("-m", "dynamo.frontend", "--http-port")...)
	words = append(words, Exp(portOf(InfraUnit, PortHTTP)))
	words = append(words, lits("--namespace-prefix", in.Spec.DynamoNamespace+"-")...)
	words = append(words, lits(planeFlags(in.Spec)...)...)
	if in.Router.Mode != "" {
		words = append(words, lits("--router-mode", in.Router.Mode)...)
		if in.Router.Mode == state.RouterKV {
			words = append(words, Lit(kvEventsFlag(in.Router.KVEvents)))
		}
	}
	own := slices.Concat(in.Spec.Router.Args, in.Spec.Frontend.Args)
	table := in.Spec.FrontendTable(in.Parsers)
	limited := slices.ContainsFunc(own, func(a state.Arg) bool { return table.Same(a.Key, "migration-limit") })
	if _, given := in.Spec.Env["DYN_MIGRATION_LIMIT"]; !limited && !given {
		words = append(words, lits("--migration-limit", defaultMigrations)...)
	}
	return append(words, lits(Flags(own, table)...)...)
}
