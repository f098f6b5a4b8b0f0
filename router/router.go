// Package router decides how requests are routed.
package router

import "dynctl/state"

// Model is a model with its spec, defaults filled in.
type Model struct {
	Name string
	Spec state.ModelSpec
}

// Decision is a routing and why it was chosen.
type Decision struct {
	// Mode is a router mode in Dynamo's spelling; empty: no flag, Dynamo's own round-robin.
	Mode     string
	KVEvents bool
	Source   string // auto | server | model
	// Because is one sentence, naming the models that caused it.
	Because string
	// Models are the names of those models, sorted.
	Models []string
}

// Resolve is the server-wide answer.
func Resolve(r state.ServerRouter, models []Model) Decision { return Decision{} }

// ForModel is the routing that a model's own workers carry in their model card.
func ForModel(r state.ServerRouter, m Model) (Decision, *state.Invalid) { return Decision{}, nil }

// ForFrontend is the routing that the frontend's command line carries.
func ForFrontend(r state.ServerRouter, models []Model) Decision { return Decision{} }

// Publishes says whether a worker of a role publishes KV events.
func Publishes(r state.ServerRouter, m Model, role string) bool { return false }

// Check returns the routing rule that a model breaks on its server.
func Check(r state.ServerRouter, m Model) *state.Invalid { return nil }
