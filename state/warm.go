package state

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
)

// SubjectWarm is where the agent in charge is told which worker processes it is to keep.
const SubjectWarm = "dynctl.agent.warm"

// WarmOrder says how many idle worker processes are to be kept on which nodes. It is all
// that is to be kept: what it does not name goes. The agent keeps to the last one that it
// was given, and says which one that was in [Agent.Warm].
type WarmOrder struct {
	// StoreID and Epoch are the reconciler's; an order of a lower epoch is refused.
	StoreID string `json:"storeId"`
	Epoch   uint64 `json:"epoch"`
	// Incarnation is that of the agent that it is for.
	Incarnation uint64 `json:"incarnation"`
	// Version is [WarmVersion] of Nodes.
	Version string `json:"version"`
	// Nodes are the processes by the id of the node, none of them 0.
	Nodes map[string]int `json:"nodes"`
}

// WarmAnswer is the agent's answer to an order.
type WarmAnswer struct {
	// Version is the order that it keeps to now.
	Version string `json:"version"`
	// Refused says why that is not the one that it was given; empty: it is.
	Refused string `json:"refused,omitempty"`
}

// AgentWarm is what an agent keeps ready.
type AgentWarm struct {
	// Version is the order that it keeps to; empty: it keeps nothing.
	Version string `json:"version"`
	// Wanted are the processes of that order, Ready those of them that were there when it
	// looked last.
	Wanted int `json:"wanted"`
	Ready  int `json:"ready"`
	// Trouble is why there are none on some node, as Ray tells it; empty: nothing is wrong.
	Trouble string `json:"trouble,omitempty"`
}

// WarmVersion tells one set of processes from another; empty for none.
func WarmVersion(nodes map[string]int) string {
	if len(nodes) == 0 {
		return ""
	}
	hash := sha256.New()
	for _, node := range slices.Sorted(maps.Keys(nodes)) {
		fmt.Fprintf(hash, "%s=%d\n", node, nodes[node]) // a hash takes all that is written
	}
	return hex.EncodeToString(hash.Sum(nil))[:16]
}
