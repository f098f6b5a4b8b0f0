package actors

import (
	"strconv"
	"strings"

	"dynctl/state"
)

// InfraUnit is the id of the unit that runs etcd, NATS and the frontend.
const InfraUnit = "infra"

// Labels of the actors of the infra unit. A label is an actor's name without the
// prefix of its server and generation; it names the log file.
const (
	LabelEtcd     = "Dynamo_ETCD"
	LabelNATS     = "Dynamo_NATS"
	LabelFrontend = "Dynamo_Frontend"
)

// Names of ports.
const (
	PortEtcd     = "etcd"
	PortEtcdPeer = "etcd-peer"
	PortNATS     = "nats"
	PortHTTP     = "http"
	PortSystem   = "system"
	PortKV       = "kv"
	PortNIXL     = "nixl"
	PortMaster   = "master"
)

// UnitID is what the id of a model's unit is made of: "{generation}_{slug}_DP{index}"
// or "{generation}_{slug}_{role}_{index}".
type UnitID struct {
	Generation string
	Slug       string
	Role       string
	Index      int
}

// String is the id.
func (u UnitID) String() string {
	if u.Role == state.RoleAggregated {
		return u.Generation + "_" + u.Slug + "_DP" + strconv.Itoa(u.Index)
	}
	return u.Generation + "_" + u.Slug + "_" + u.Role + "_" + strconv.Itoa(u.Index)
}

// ID identifies a unit of the template's generation.
func (t ModelTemplate) ID(role string, index int) UnitID {
	return UnitID{Generation: t.Generation, Slug: t.Slug, Role: role, Index: index}
}

// UnitID is that id as text.
func (t ModelTemplate) UnitID(role string, index int) string { return t.ID(role, index).String() }

// Prefix is what the names of a server's placement groups and actors of one
// generation begin with, without the underscore that follows.
func Prefix(server, generation string) string {
	return "dynamo_" + server + "_" + generation
}

// PlacementGroupName is the name of a unit's placement group. The generation is
// that of the model, or the server's for the infra unit.
func PlacementGroupName(server, generation, unit string) string {
	return Prefix(server, generation) + "_pg_" + strings.TrimPrefix(unit, generation+"_")
}

// ActorName is the name of the actor with a label.
func ActorName(server, generation, label string) string {
	return Prefix(server, generation) + "_" + label
}

// WorkerLabel is the label of one actor of a worker: "Dynamo_DP0_slug",
// "Dynamo_prefill_DP1_TP0_slug". The rank is named where ranked is set: when the
// tensor parallel size is above 1 or the unit has several bundles.
func WorkerLabel(id UnitID, rank int, ranked bool) string {
	var b strings.Builder
	b.WriteString("Dynamo_")
	if id.Role != state.RoleAggregated {
		b.WriteString(id.Role + "_")
	}
	b.WriteString("DP" + strconv.Itoa(id.Index))
	if ranked {
		b.WriteString("_TP" + strconv.Itoa(rank))
	}
	b.WriteString("_" + id.Slug)
	return b.String()
}

// Namespace is the Dynamo namespace of one generation of a model.
func Namespace(stem, generation string) string { return stem + "-" + generation }

// Component is the Dynamo component of a role: "{slug}" or "{slug}_{role}".
func Component(slug, role string) string {
	if role == state.RoleAggregated {
		return slug
	}
	return slug + "_" + role
}

// Endpoint is the Dynamo endpoint that the workers of a component serve.
func Endpoint(namespace, component string) string {
	return "dyn://" + namespace + "." + component + ".generate"
}
