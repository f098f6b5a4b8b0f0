package state

import (
	"slices"
	"time"
)

// Registrations is what Dynamo's etcd of one server holds. Unknown and empty are
// different: while Known is false nothing may be concluded from the absence of
// an instance.
type Registrations struct {
	Known bool
	// Err says why they are not known, in one line. Pending: neither an answer nor a failure
	// has come since they were first asked for at this address.
	Err       string
	Pending   bool
	ClusterID uint64
	// Members are the addresses at which the members of the cluster say that clients
	// reach them, sorted; nil: not known. Two clusters that were made alike may have one
	// id; with one id and the same members it is the same etcd, however its address is
	// written.
	Members   []string
	Revision  int64
	Instances []Instance // by namespace, component, lease
	// Gates are what keeps generations out of the frontend's choice, by namespace, lease.
	Gates []Gate
	// Lost are the leases of instances that went with etcd's data: it came back as
	// another cluster, or at a lower revision. Left are those of instances that went
	// by themselves. Both are of what this process has seen, the last ones.
	Lost []int64
	Left []int64
}

// SameEtcd reports whether both were read from the same etcd.
func (r Registrations) SameEtcd(o Registrations) bool {
	return r.Known && o.Known && r.ClusterID == o.ClusterID && len(r.Members) > 0 && slices.Equal(r.Members, o.Members)
}

// Instance is one worker that is registered in Dynamo's etcd.
type Instance struct {
	Namespace string // with the generation: "curator-1a2b3c4d"
	Component string // "{slug}" or "{slug}_{role}"
	Endpoint  string
	Lease     int64
	// Card says that the worker's model card is there as well.
	Card bool
}

// GateTTL is how long a gate stands that nobody renews.
const GateTTL = 10 * time.Second

// Gate keeps a generation out of the frontend's choice for as long as its lease lives.
type Gate struct {
	Namespace string // with the generation
	Lease     int64
}

// FrontendView is what a server's frontend lists.
type FrontendView struct {
	// Known is true when the last probe was answered. Err and Pending are as in [Registrations].
	Known   bool
	Err     string
	Pending bool
	// Models is by served name.
	Models map[string]FrontendModel
}

// FrontendModel is the frontend's word on one model.
type FrontendModel struct {
	// Listed says that /v1/models names it.
	Listed bool
	// Ready is the answer of /v1/models/{id}/ready.
	Ready bool
	// Namespaces holds, by Dynamo namespace, the number of workers by worker type.
	Namespaces map[string]FrontendNamespace
}

// FrontendNamespace is the frontend's word on one generation of a model.
type FrontendNamespace struct {
	Ready   bool
	Workers map[string]int // by worker type: aggregated, prefill, decode
	Missing []string
}
