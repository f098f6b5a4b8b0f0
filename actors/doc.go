// Package actors is the vocabulary of what runs where: templates, names, what is
// wanted, what a plan is made of, and the reasons that are given. It decides nothing.
// It is pure: no clock, no randomness, no IO, no goroutines, no logger, and so are the
// packages that decide, which import one another in this order only:
//
//	place    on which nodes a unit runs, and in which shape
//	render   what it executes, under which name and in which generation
//	accept   which revision of a spec counts, and what is warned of
//	offline  the same without a cluster
//	plan     what to do when what runs is not what is wanted
//
// plan imports place and render; accept and offline are none of its business. The
// adapter to Ray is actors/ray, and the Ray-side agent actors/agent.
//
// The way of a spec: accept.Revisions decides which revision counts and has it rendered
// once into a [ServerTemplate] or a [ModelTemplate], which are stored; plan.Plan compares
// them with what is observed; place.Worker lays a unit out on nodes; render.Worker makes
// a [UnitTemplate] of a template and a shape, which is all that the agent needs to start
// it.
//
// Vocabulary: a unit is a placement group with its actors; a worker is a unit of a
// model, with one actor per bundle, whose index is the node rank; a role is what a
// worker does in a model (aggregated, prefill, decode); a shape is the bundles of a
// unit; a generation is the 8 hex digits that name what a model's workers run; a
// label is an actor's name without server and generation; an attempt is one
// execution of an actor's process.
package actors
