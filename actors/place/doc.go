// Package place lays units out on nodes: how many bundles of what size, and which nodes
// hold them. It looks at one unit and the room that is left; who comes first for that
// room is for its callers to say. It also tells who else holds a GPU card. It is pure,
// and imports actors and state.
package place
