// Package accept decides which revision of each spec runs: whether it is valid, what it
// conflicts with, what is kept of it in the object's status, and what is told by what
// runs where that status is lost. It is pure, and imports actors, actors/render, router
// and state.
package accept
