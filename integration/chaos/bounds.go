package main

import "time"

// A cause is a kind of fault with what recovery from it consists of. Waits pass by the
// clock, however fast the machine is; work takes a processor, and longer where others
// want it too.
type cause struct {
	text        string
	waits, work time.Duration
}

// slow is how much longer work takes than on two quiet cores: three raylets, up to
// sixteen workers and their clients share the two here, at a load of 10 to 20.
const slow = 4

// bound is how long after the fault what it struck may be away.
func (c cause) bound() time.Duration { return c.waits + slow*c.work }

// The waits are those of docs/healing.md, docs/dynamo.md and of the walk itself.
const (
	backoffWait  = 2400 * time.Millisecond                     // healing.backoff.max of the fleet and a fifth
	hungWait     = 9 * time.Second                             // three questions, 2 s apart and 1 s each
	patience     = 5 * time.Second                             // what a frontend has for its first answer
	drainWait    = 10 * time.Second                            // of streams and of a request that hangs
	retireWait   = 2 * time.Second                             // a generation leaves, and enters, the frontend's choice
	etcdWait     = 15 * time.Second                            // until the frontend has read its watches again
	natsWait     = 16 * time.Second                            // 10 s until it gives up what was on the wire, 5 s for which it sets a worker aside
	nodeWait     = 14 * time.Second                            // until Ray takes a raylet for dead
	silentWait   = 16 * time.Second                            // the same of one that hangs, by the settings of `make up`, and until it is woken
	nodeAwayWait = 8 * time.Second                             // what the walk lets it stay away
	agentWait    = 15 * time.Second                            // 10 s of silence, 5 s of backoff
	leaseWait    = 5 * time.Second                             // 3 s of a reconciler's lease, 2 s of the walk
	slowWait     = mostStalls * (betweenStalls + longestStall) // of the walk
	commandWait  = 30 * time.Second                            // the deadline of a command
	diskWait     = 11 * time.Second                            // 6 s of the walk, 5 s until the store is opened again
)

// The work, as measured on two quiet cores.
const (
	execWork   = 2 * time.Second  // of one process, until it is registered
	actorWork  = 3 * time.Second  // a group and an actor in it
	fleetWork  = 9 * time.Second  // every worker and the frontend at once
	jobWork    = 5 * time.Second  // an agent, until it is in charge
	rayletWork = 10 * time.Second // another raylet
)

// Causes of spans.
var (
	workerKilled   = cause{"worker killed", backoffWait + settle, execWork}
	workerStopped  = cause{"worker stopped", hungWait + backoffWait + drainWait, execWork}
	actorKilled    = cause{"actor killed", backoffWait + settle, actorWork + execWork}
	groupRemoved   = cause{"group removed", backoffWait + settle, actorWork + execWork}
	lastKilled     = cause{"the last of its generation was killed", backoffWait + settle, actorWork + execWork}
	frontendKilled = cause{"frontend killed", backoffWait + patience + settle, execWork}
	etcdKilled     = cause{"etcd killed", backoffWait + etcdWait, execWork}
	etcdEmptied    = cause{"etcd emptied", 2*backoffWait + etcdWait, fleetWork}
	natsKilled     = cause{"NATS killed, with one worker", backoffWait + natsWait, execWork}
	natsAlone      = cause{"NATS killed, while no agent is there", agentWait + natsWait, jobWork + execWork}
	infraRemoved   = cause{"group of infra removed", backoffWait + natsWait, actorWork + fleetWork}
	rayletKilled   = cause{"raylet killed", nodeWait + nodeAwayWait + backoffWait + settle, rayletWork + actorWork + execWork}
	rayletHung     = cause{"raylet hung", silentWait + nodeAwayWait + backoffWait + settle, rayletWork + actorWork + execWork}
	infraLost      = cause{"raylet killed with infra", nodeWait + nodeAwayWait + natsWait, rayletWork + actorWork + fleetWork}
	modelDeleted   = cause{"model deleted", commandWait + leaseWait, actorWork + execWork}
)

// Causes of delays: while they last nothing heals, or something else is begun with.
var (
	agentAway      = cause{"the agent is away", agentWait, jobWork}
	reconcilerAway = cause{"the reconciler is away", leaseWait, execWork}
	agentCut       = cause{"the agent is cut off from NATS", longestCut + agentWait, jobWork}
	agentSlow      = cause{"the agent's link is slow and stalls", slowWait + agentWait, jobWork}
	etcdCut        = cause{"the reconciler is cut off from etcd", longestCut + leaseWait, 0}
	etcdSlow       = cause{"the reconciler's link to etcd is slow and stalls", slowWait + leaseWait, 0}
	storeFull      = cause{"the store is full", diskWait, execWork}
	nodeStalled    = cause{"a node stood still", settle, 0} // excuses nothing
	specChanged    = cause{"the spec changed", drainWait + retireWait, actorWork + execWork}
)
