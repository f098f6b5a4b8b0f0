// Package kv keeps what is wanted and what is in NATS JetStream key-value buckets:
// specs, statuses, what the Ray-side agent observes, and the reconciler's lease.
// Other programs read and write the store through [Client]; the reconciler holds
// in-memory snapshots of it in [Views] and takes part in the election of a leader
// with [Elector].
//
// It may import package state and the NATS client, nothing else of this module.
//
// Vocabulary: a revision is the position of an entry in its bucket's stream; it
// is comparable within one bucket as long as that bucket is not deleted and made
// again. A recreated spec bucket made by [EnsureBuckets] goes on above the
// revisions that the statuses know, so they stay comparable there.
package kv
