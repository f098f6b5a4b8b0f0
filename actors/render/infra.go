package render

import (
	"slices"

	"dynctl/actors"
	"dynctl/actors/place"
	"dynctl/state"
	"dynctl/state/engineflags"
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

// Server renders what the infra unit of a server runs: etcd and NATS where
// they are managed, and the frontend.
func Server(in ServerInput) actors.ServerTemplate {
	needs := actors.Needs{
		CPUs:            1,
		ExcludeHeadNode: in.Spec.Placement.ExcludeHeadNode != nil && *in.Spec.Placement.ExcludeHeadNode,
		NodeSelector:    in.Spec.Placement.NodeSelector,
	}
	var services []actors.ActorTemplate
	if in.Spec.Etcd.Endpoint == "" {
		services = append(services, etcd())
	}
	if in.Spec.NATS.URL == "" {
		services = append(services, nats())
	}
	t := actors.ServerTemplate{
		Server:     in.Server,
		Generation: infraGeneration(services, in.Spec, needs),
		Actors:     append(services, in.frontend()),
		Needs:      needs,
		Renderer:   Version,
		Revision:   in.Revision,
		Router: state.RouterStatus{
			Mode: in.Router.Mode, KVEvents: in.Router.KVEvents,
			Source: in.Router.Source, Because: in.Router.Because,
		},
	}
	return ServerInGeneration(t, t.Generation)
}

// ServerInGeneration is the template in another generation: its actors are named by it.
func ServerInGeneration(t actors.ServerTemplate, generation string) actors.ServerTemplate {
	t.Generation = generation
	t.Actors = slices.Clone(t.Actors)
	for i := range t.Actors {
		a := &t.Actors[i]
		a.Name = actors.ActorName(t.Server, generation, a.Label)
		a.CPUs = t.Needs.CPUs
		a.Digest = actorDigest(*a)
	}
	return t
}

// infraActors are the actors that Dynamo processes wait for.
func infraActors(s state.ServerSpec) []string {
	var needs []string
	if s.Etcd.Endpoint == "" {
		needs = append(needs, actors.InfraUnit+"/"+actors.LabelEtcd)
	}
	if s.NATS.URL == "" {
		needs = append(needs, actors.InfraUnit+"/"+actors.LabelNATS)
	}
	return needs
}

func etcd() actors.ActorTemplate {
	client := portOf(actors.InfraUnit, actors.PortEtcd)
	peer := "http://127.0.0.1:" + portOf(actors.InfraUnit, actors.PortEtcdPeer)
	return actors.ActorTemplate{
		Label:  actors.LabelEtcd,
		Bundle: place.BundleEtcd,
		Argv: []actors.Text{
			actors.Lit("etcd"),
			actors.Lit("--listen-client-urls"), actors.Exp("http://0.0.0.0:" + client),
			actors.Lit("--advertise-client-urls"), actors.Exp("http://" + ipOf(actors.InfraUnit, place.BundleEtcd) + ":" + client),
			actors.Lit("--listen-peer-urls"), actors.Exp(peer),
			actors.Lit("--initial-advertise-peer-urls"), actors.Exp(peer),
			actors.Lit("--initial-cluster"), actors.Exp("default=" + peer),
			actors.Lit("--data-dir"), actors.Exp("{RD}/etcd_data"),
		},
		Env: []actors.EnvVar{{Name: "ALLOW_NONE_AUTHENTICATION", Value: actors.Lit("yes")}},
		Ports: []actors.Port{
			{Name: actors.PortEtcd, Seed: seedEtcd, Sticky: true},
			{Name: actors.PortEtcdPeer, Seed: seedEtcdPeer, Sticky: true},
		},
		Health:                 actors.Health{Kind: "http", Port: actors.PortEtcd, Path: "/health", Every: infraAsked, Failures: infraSilent},
		StartupTimeout:         infraStartup,
		TerminationGracePeriod: servicesStop,
		KeepData:               true,
	}
}

func nats() actors.ActorTemplate {
	return actors.ActorTemplate{
		Label:  actors.LabelNATS,
		Bundle: place.BundleNATS,
		Argv: []actors.Text{
			actors.Lit("nats-server"), actors.Lit("-p"), actors.Exp(portOf(actors.InfraUnit, actors.PortNATS)), actors.Lit("-js"),
			actors.Lit("--store_dir"), actors.Exp("{RD}/nats_data"),
		},
		Ports:                  []actors.Port{{Name: actors.PortNATS, Seed: seedNATS, Sticky: true}},
		Health:                 actors.Health{Kind: "nats", Port: actors.PortNATS, Every: infraAsked, Failures: infraSilent},
		StartupTimeout:         infraStartup,
		TerminationGracePeriod: servicesStop,
		KeepData:               true,
	}
}

func (in ServerInput) frontend() actors.ActorTemplate {
	managed := addressesOf(in.Spec).env()
	if in.Router.Mode != "" {
		managed = append(managed, actors.EnvVar{Name: "PYTHONHASHSEED", Value: actors.Lit("0")})
	}
	// With its own defaults the frontend hangs at its start on machines with few CPUs.
	for _, v := range []actors.EnvVar{
		{Name: "DYN_RUNTIME_NUM_WORKER_THREADS", Value: actors.Lit(frontendWorkers)},
		{Name: "DYN_RUNTIME_MAX_BLOCKING_THREADS", Value: actors.Lit(frontendMaxThreads)},
	} {
		if _, given := in.Spec.Env[v.Name]; !given {
			managed = append(managed, v)
		}
	}
	return actors.ActorTemplate{
		Label:      actors.LabelFrontend,
		Bundle:     place.BundleFrontend,
		Needs:      infraActors(in.Spec),
		Argv:       in.frontendArgv(),
		Env:        overlayEnv(managed, in.Spec.Env),
		RuntimeEnv: in.Spec.RuntimeEnv.Clone(),
		Ports:      []actors.Port{{Name: actors.PortHTTP, Seed: in.Spec.Frontend.Port, Exact: true}},
		Health: actors.Health{Kind: "http", Port: actors.PortHTTP, Path: "/health", TLS: in.hasCertificate(), FirstWithin: frontendFirst200,
			Every: infraAsked, Failures: infraSilent},
		StartupTimeout:         infraStartup,
		TerminationGracePeriod: state.DefaultTerminationGracePeriod.Seconds(),
	}
}

// hasCertificate reports whether the frontend does: it answers nothing but TLS then.
func (in ServerInput) hasCertificate() bool {
	table := in.Spec.FrontendTable(in.Parsers)
	_, given := in.Spec.Env["DYN_TLS_CERT_PATH"]
	return given || slices.ContainsFunc(slices.Concat(in.Spec.Router.Args, in.Spec.Frontend.Args), func(a state.Arg) bool {
		return table.Same(a.Key, "tls-cert-path")
	})
}

func (in ServerInput) frontendArgv() []actors.Text {
	words := []actors.Text{actors.Exp("{py}")}
	words = append(words, lits("-m", "dynamo.frontend", "--http-port")...)
	words = append(words, actors.Exp(portOf(actors.InfraUnit, actors.PortHTTP)))
	words = append(words, lits("--namespace-prefix", in.Spec.DynamoNamespace+"-")...)
	words = append(words, lits(planeFlags(in.Spec)...)...)
	if in.Router.Mode != "" {
		words = append(words, lits("--router-mode", in.Router.Mode)...)
		if in.Router.Mode == state.RouterKV {
			words = append(words, actors.Lit(kvEventsFlag(in.Router.KVEvents)))
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
