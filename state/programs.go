package state

// AgentPrograms are etcd and nats-server as a package in Ray's store.
type AgentPrograms struct {
	// Package is its name there, with a hash of what is in it.
	Package string `json:"package"`
	// Directory is where they lie on the agent's node; empty: they do not.
	Directory string `json:"directory,omitempty"`
	// Wanted says that a node lacks them, so that the package has to be in the store.
	Wanted bool `json:"wanted,omitempty"`
}
