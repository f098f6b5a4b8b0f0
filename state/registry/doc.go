// Package registry is the adapter to what Dynamo itself says: Registry watches
// the model cards and instances that workers register in the etcd of each
// server, and revokes leases; Frontends asks each server's frontend what it
// lists and what is ready.
//
// Both keep one goroutine per server, hold the latest view in memory and wake
// their reader through a one-slot channel. Neither ever reads "cannot tell" as
// "empty": a view is Known, or says in one line why it is not.
//
// It imports package state and nothing else of this module.
//
// Vocabulary: an instance is the endpoint "generate" of one worker, at
// v1/instances/{namespace}/{component}/{endpoint}/{lease}; a card is its model
// card, at v1/mdc/{namespace}/{component}/{endpoint}/{lease}. Both hang on the
// worker's lease, and the lease is the worker's instance id.
package registry
