package render

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"dynctl/actors"
	"dynctl/state"
)

// The generation of a model is a hash over what its roles would run. It is made
// of what was asked for, never of what placement chose: the endpoint, addresses,
// ports, the shape and its rank flags are left out, as are replica counts,
// labels, priority and timeouts, so that none of them rolls a worker. It must not
// change between versions of this program that render the same command lines.

// generationLength is the number of hex digits of a generation.
const generationLength = 8

// hashedRole is what counts of a role.
type hashedRole struct {
	Role       string          `json:"role"`
	Engine     string          `json:"engine"`
	Needs      actors.Needs    `json:"needs"`
	Head       []actors.Text   `json:"head"`
	Headless   []actors.Text   `json:"headless"`
	Tail       []actors.Text   `json:"tail"`
	Env        []actors.EnvVar `json:"env"`
	RuntimeEnv state.Args      `json:"runtimeEnv"`
}

// modelGeneration hashes roles that were rendered without endpoint and addresses.
func modelGeneration(roles []actors.RoleTemplate) string {
	hashed := make([]hashedRole, len(roles))
	for i, r := range roles {
		hashed[i] = hashedRole{r.Role, r.Engine, r.Needs, r.Head, r.Headless, r.Tail, r.Env, r.RuntimeEnv}
	}
	return digestOf(hashed)[:generationLength]
}

// hashedService is what counts of etcd or NATS.
type hashedService struct {
	Label    string          `json:"label,omitempty"`
	Argv     []actors.Text   `json:"argv,omitempty"`
	Env      []actors.EnvVar `json:"env,omitempty"`
	External string          `json:"external,omitempty"`
}

// infraGeneration hashes etcd and NATS alone: a frontend whose command line
// changed is restarted beside them. The Dynamo namespace counts too, because
// every worker of the server is named by it: a rename starts all of them again.
func infraGeneration(services []actors.ActorTemplate, spec state.ServerSpec, needs actors.Needs) string {
	hashed := []hashedService{{External: spec.Etcd.Endpoint}, {External: spec.NATS.URL}}
	for _, a := range services {
		hashed = append(hashed, hashedService{Label: a.Label, Argv: a.Argv, Env: a.Env})
	}
	return digestOf(struct {
		Needs     actors.Needs    `json:"needs"`
		Services  []hashedService `json:"services"`
		Namespace string          `json:"namespace"`
	}{needs, hashed, spec.DynamoNamespace})[:generationLength]
}

// digestLength is the number of hex digits of a digest.
const digestLength = 16

// digestOf hashes the JSON of a value, whose maps are written in key order.
func digestOf(v any) string {
	// The values hold nothing that cannot be written, since specs came out of JSON.
	data, _ := json.Marshal(v)
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])[:digestLength]
}
