package actors

// Reasons of actions. They are constants that users and alerts may rely on.
const (
	// ReasonInfraMissing: the server's etcd, NATS and frontend do not run.
	ReasonInfraMissing = "InfraMissing"
	// ReasonWanted: a replica that the spec asks for does not exist.
	ReasonWanted = "ReplicaMissing"
	// ReasonRollNew: a replica of the new generation, beside or in place of an old one.
	ReasonRollNew = "RollNew"
	// ReasonRollBack: a replica of the previous generation comes back, because its
	// replacement cannot start.
	ReasonRollBack = "RollBack"
	// ReasonExited: the process ended without being asked to.
	ReasonExited = "ProcessExited"
	// ReasonActorDied: the Ray actor is gone.
	ReasonActorDied = "ActorDied"
	// ReasonNotExecuted: the actor exists and was never told what to execute.
	ReasonNotExecuted = "NotExecuted"
	// ReasonPlacementRetry: the placement group was not ready in time, or is gone.
	ReasonPlacementRetry = "PlacementRetry"
	// ReasonTemplateChanged: the frontend's command line changed.
	ReasonTemplateChanged = "FrontendChanged"
	// ReasonRestartAsked: the spec's restart text changed.
	ReasonRestartAsked = "RestartAsked"
	// ReasonInfraMoved: etcd or NATS came back at another address.
	ReasonInfraMoved = "InfraMoved"
	// ReasonRegistrationLost: etcd came back without the data that it had.
	ReasonRegistrationLost = "RegistrationLost"

	// ReasonDeleted: the spec was deleted.
	ReasonDeleted = "SpecDeleted"
	// ReasonScaledDown: the replica's index is beyond the count.
	ReasonScaledDown = "ScaledDown"
	// ReasonSuspended: the spec says suspend.
	ReasonSuspended = "Suspended"
	// ReasonRollOld: a replica of an old generation that enough new ones replace.
	ReasonRollOld = "RollOld"
	// ReasonSuperseded: a replica of a generation that is no longer wanted and does
	// not serve.
	ReasonSuperseded = "Superseded"
	// ReasonMakeRoom: no GPU is free for a new replica beside the old one.
	ReasonMakeRoom = "MakeRoom"
	// ReasonServerUnused: no Server and no Model asks for the infra unit any more.
	ReasonServerUnused = "ServerUnused"
	// ReasonInfraRecreated: etcd or NATS move, as the spec's annotation allows.
	ReasonInfraRecreated = "InfraRecreated"

	// ReasonLeftover: a dead Curator driver left it under the name of a server that
	// is about to start for the first time.
	ReasonLeftover = "Leftover"
	// ReasonOrphan: nothing asks for it, and nothing says that it was deleted.
	ReasonOrphan = "Orphan"

	// ReasonDeadAttempt: the lease belongs to an attempt that has ended.
	ReasonDeadAttempt = "DeadAttempt"
	// ReasonUnclaimed: the lease belongs to no process that lives.
	ReasonUnclaimed = "Unclaimed"

	// ReasonGenerationComing: not every role of the generation can serve yet.
	ReasonGenerationComing = "GenerationComing"
	// ReasonGenerationWhole: every role of it can.
	ReasonGenerationWhole = "GenerationWhole"
)

// Reasons of waits and conditions.
const (
	WaitBackOff        = "CrashLoopBackOff"
	WaitRestarting     = "Restarting"
	WaitPlacement      = "PlacementTimeout"
	WaitNotOwner       = "NotOwner"
	WaitLeftovers      = "SweepingLeftovers"
	WaitCuratorAlive   = "CuratorAlive"
	WaitInfraStopping  = "InfraStopping"
	WaitPortConflict   = "PortConflict"
	WaitForeignEtcd    = "EtcdOfAnotherServer"
	WaitRolloutStalled = "RolloutStalled"
	WaitAgentLost      = "AgentLost"
	WaitNoAgent        = "NoAgent"
	WaitAgentFailing   = "AgentFailing"
	WaitRayWithoutGPUs = "NoGPUNodes"
	WaitDynamoTooOld   = "DynamoTooOld"
	WaitGPUBusy        = "GPUBusy"
)

// Reasons why a worker cannot be placed; those of the condition Scheduled.
const (
	// ReasonTPDoesNotFit: no shape of the worker fits the nodes that there are,
	// were they empty.
	ReasonTPDoesNotFit = "TPDoesNotFit"
	// ReasonInsufficientGPUs: it would fit, were nothing else running.
	ReasonInsufficientGPUs = "InsufficientGPUs"
	// ReasonInsufficientCPUs: the same, but CPUs are what is missing.
	ReasonInsufficientCPUs = "InsufficientCPUs"
	// ReasonNoLabelledNodes: no node carries the labels that are asked for.
	ReasonNoLabelledNodes = "NoLabelledNodes"
	// ReasonWaitingForNodes: the group is asked for all the same, and waits for
	// nodes to come.
	ReasonWaitingForNodes = "WaitingForNodes"
)

// Types of facts: words of the event stream's vocabulary.
const (
	FactSpecAccepted      = "spec-accepted"
	FactSpecRejected      = "spec-rejected"
	FactSpecDeleted       = "spec-deleted"
	FactUnitReady         = "unit-ready"
	FactUnitBackoff       = "unit-backoff"
	FactRouterResolved    = "router-resolved"
	FactRouterApplied     = "router-applied"
	FactRolloutStarted    = "rollout-started"
	FactRolloutCompleted  = "rollout-completed"
	FactRolloutStalled    = "rollout-stalled"
	FactRolloutSuperseded = "rollout-superseded"
	FactDeletionBlocked   = "deletion-blocked"
)
