// Package state holds what is wanted and what is: the spec types of a Server
// and its Models with their defaults and validation, the status written back
// for each, the units that the Ray-side agent reports, and what Dynamo has
// registered.
//
// It is pure: no clock, no randomness, no IO, and no import of another package
// of this module. The adapters that fill these types live below it: state/kv
// (JetStream key-value buckets) and state/registry (Dynamo's etcd).
//
// Vocabulary: a Server is one Dynamo deployment; a Model is one served model of
// a server; a Unit is one Ray placement group with its actors; a Generation is
// the 8 hex digits that name what a model's workers run.
package state
