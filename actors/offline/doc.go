// Package offline computes what specs would run on empty nodes, without a cluster: it
// accepts, places and renders them as the reconciler would, and gives out ports as the
// agent would. It is pure, and imports what it goes through: actors/accept,
// actors/place and actors/render.
package offline
