package actors

import (
	"regexp"
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

// UnitID is what the id of a unit says: "infra", "{generation}_{slug}_DP{index}"
// or "{generation}_{slug}_{role}_{index}".
type UnitID struct {
	// Generation is empty for the unit "infra" of a server, and set for an infra
	// unit that is not ours, "{generation}_infra".
	Generation string
	Slug       string
	Role       string
	Index      int
	Infra      bool
}

// String is the id.
func (u UnitID) String() string {
	switch {
	case u.Infra && u.Generation == "":
		return InfraUnit
	case u.Infra:
		return u.Generation + "_" + InfraUnit
	case u.Role == state.RoleAggregated:
		return u.Generation + "_" + u.Slug + "_DP" + strconv.Itoa(u.Index)
	}
	return u.Generation + "_" + u.Slug + "_" + u.Role + "_" + strconv.Itoa(u.Index)
}

// UnitID is the id of a unit of the template's generation.
func (t ModelTemplate) UnitID(role string, index int) string {
	return t.unitID(role, index).String()
}

func (t ModelTemplate) unitID(role string, index int) UnitID {
	return UnitID{Generation: t.Generation, Slug: t.Slug, Role: role, Index: index}
}

// The forms are unambiguous because a slug has no upper case, a server's name no
// underscore, and a role stands between the slug and the index.
var (
	unitForm = regexp.MustCompile(
		`^([0-9a-f]{8})_(?:(infra)|([a-z0-9_]+?)_(?:DP(0|[1-9][0-9]*)|(prefill|decode)_(0|[1-9][0-9]*)))$`)
	nameForm = regexp.MustCompile(
		`^dynamo_([a-z0-9](?:[-a-z0-9]*[a-z0-9])?)_([0-9a-f]{8})_(pg_[a-zA-Z0-9_]+|Dynamo_.+)$`)
)

// ParseUnit reads the id of a unit.
func ParseUnit(id string) (UnitID, bool) {
	if id == InfraUnit {
		return UnitID{Infra: true}, true
	}
	m := unitForm.FindStringSubmatch(id)
	if m == nil {
		return UnitID{}, false
	}
	if m[2] != "" {
		return UnitID{Generation: m[1], Infra: true}, true
	}
	u := UnitID{Generation: m[1], Slug: m[3], Role: m[5]}
	digits := m[4] + m[6]
	index, err := strconv.Atoi(digits)
	u.Index = index
	return u, err == nil
}

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

// Owned is what the name of a placement group or an actor says.
type Owned struct {
	Server     string
	Generation string
	// Unit is set for a placement group: its unit as a server of ours would call
	// it, so "infra" for the infra unit of any generation.
	Unit string
	// Label is set for an actor.
	Label string
}

// ParsePlacementGroupName reads the name of a placement group of the form
// "dynamo_{server}_{8 hex digits}_pg_{rest}". Where server is not empty the group
// must be that server's: the names of the server default are never those of a
// server default_two.
func ParsePlacementGroupName(name, server string) (Owned, bool) {
	o, rest, ok := parseName(name, server)
	if !ok {
		return Owned{}, false
	}
	rest, ok = strings.CutPrefix(rest, "pg_")
	if !ok {
		return Owned{}, false
	}
	if rest == InfraUnit {
		o.Unit = InfraUnit
		return o, true
	}
	o.Unit = o.Generation + "_" + rest
	_, ok = ParseUnit(o.Unit)
	return o, ok
}

// ParseActorName reads the name of an actor of the form
// "dynamo_{server}_{8 hex digits}_Dynamo_{rest}", as [ParsePlacementGroupName] does.
func ParseActorName(name, server string) (Owned, bool) {
	o, rest, ok := parseName(name, server)
	if !ok || !strings.HasPrefix(rest, "Dynamo_") {
		return Owned{}, false
	}
	o.Label = rest
	return o, true
}

func parseName(name, server string) (Owned, string, bool) {
	m := nameForm.FindStringSubmatch(name)
	if len(m) == 0 || server != "" && m[1] != server {
		return Owned{}, "", false
	}
	return Owned{Server: m[1], Generation: m[2]}, m[3], true
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
