// Package local runs everything on one machine: a Ray cluster with logical GPUs,
// several raylets if asked, and the reconciler beside it. `make up`, the demo and
// the integration tests start through it, and what they start ends through it.
//
// It links no other package of this module: it starts the programs in bin/.
//
// Vocabulary: a Stack is one Ray cluster with at most one reconciler. It is known
// by its temporary directory alone: every process of it either carries that
// directory in its environment ([MarkEnv]) or writes to a file below it (Ray's
// workers overwrite their environment with their title). So a stack can be ended
// completely without having kept a list, after a crash of any part of it too.
package local
