// Package actors decides what runs where, under which name, with which command,
// and what to do when what runs is not that. It is pure: no clock, no randomness,
// no IO, no goroutines, no logger. It may import state and router; the adapter to
// Ray lies below it, in actors/ray, and the Ray-side agent in actors/agent.
//
// The way of a spec: [Accept] decides which revision counts and renders it once
// into a [ServerTemplate] or a [ModelTemplate], which are stored; [Plan] compares
// them with what is observed; [ChooseShape] lays a unit out on nodes; Unit makes a
// [UnitTemplate] of a template and a shape, which is all that the agent needs to
// start it. [Offline] goes the same way without a cluster.
//
// Vocabulary: a unit is a placement group with its actors; a worker is a unit of a
// model, with one actor per bundle, whose index is the node rank; a role is what a
// worker does in a model (aggregated, prefill, decode); a shape is the bundles of a
// unit; a generation is the 8 hex digits that name what a model's workers run; a
// label is an actor's name without server and generation; an attempt is one
// execution of an actor's process.
package actors
