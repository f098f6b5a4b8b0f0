// Package simray is a Ray cluster that is not there: nodes, placement groups,
// actors and Dynamo workers as data, behind the agent's protocol
// (docs/protocol.md). The reconciler finds all that it looks for: observed units
// in JetStream, instances and model cards on real leases in a real etcd, and a
// frontend that answers over HTTP.
//
// It exists to measure the reconciler with a hundred nodes and hundreds of units,
// which no machine for tests holds. It proves nothing about Ray or Dynamo and
// never stands in for them in integration/. What it leaves out: logs, runtime
// directories, hung processes, groups and actors of others, and a second agent
// that takes over what the first one started. Simulated nodes share one machine,
// so a frontend listens on a free port instead of the promised one.
//
// It may import actors and state. Vocabulary: a cluster is the nodes with
// everything on them; a unit walks (through Pending, Placing, Waiting, Starting)
// until it is Running; a fault is what a test does to a cluster.
package simray
