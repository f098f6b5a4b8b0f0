// Package world says what becomes true after a plan: what a start makes of a unit, where
// Ray puts a group, what running workers register and what a frontend lists of that. The
// forecast of `dynctl plan`, the planner's stories and walks and the stand-in of the docs
// all follow it, each at its own pace: the forecast lets no time pass, the walks a second
// a round. It is pure, changes nothing that it is given, and imports actors, actors/place
// and state.
package world
