package actors

import (
	"maps"
	"slices"

	"dynctl/state"
)

// Reasons that the agent gives, in exits and in facts. An exit that carries one
// stands in the status and in unit-exited.
const (
	// ExitExited: the process ended by itself, whatever its code.
	ExitExited = "Exited"
	// ExitKilled: a signal ended the process.
	ExitKilled = "Killed"
	// ExitHung: the process lived and answered no more.
	ExitHung = "Hung"
	// ExitStartupTimeout: the process was not healthy in time.
	ExitStartupTimeout = "StartupTimeout"
	// ExitExecFailed: the process could not be executed.
	ExitExecFailed = "ExecFailed"
	// PlacementStartFailed: Ray refused what a start needs, several times.
	PlacementStartFailed = "StartFailed"
	// UnitActorSilent: an actor answers nothing, and its process may serve.
	UnitActorSilent = "ActorSilent"
)

var reasonTexts = map[string]string{
	ReasonInfraMissing:     "The server's etcd, NATS and frontend do not run yet; they are started.",
	ReasonWanted:           "The spec asks for a replica that does not exist; it is started.",
	ReasonRollNew:          "A replica of the new generation is started beside or in place of an old one.",
	ReasonRollBack:         "The new generation does not start, so a replica of the previous one comes back; correct the spec.",
	ReasonExited:           "The process ended without being asked to; it is executed again in place. See dynctl logs for its last lines.",
	ReasonActorDied:        "The Ray actor is gone and its process with it; the actor is made again in the same placement group and executes.",
	ReasonNotExecuted:      "The actor is missing or was never told what to execute; it is told now.",
	ReasonPlacementRetry:   "The placement group was not ready in time or has gone away; it is asked for again, in a newly chosen shape.",
	ReasonTemplateChanged:  "The frontend's command line changed; it is restarted, a gap of 1 to 3 s. Workers are not touched.",
	ReasonRestartAsked:     "The spec's restart text changed (dynctl restart); the worker is restarted in its actor.",
	ReasonInfraMoved:       "etcd or NATS came back at another address; what was executed with the old one is restarted.",
	ReasonRegistrationLost: "etcd came back without its data, where nothing registers again by itself; workers and frontend are restarted.",

	ReasonDeleted:        "The spec was deleted; what it ran is stopped gracefully.",
	ReasonScaledDown:     "The spec asks for fewer replicas; the highest index is stopped.",
	ReasonSuspended:      "The spec says suspend, so its workers are stopped and the spec is kept; dynctl resume starts them.",
	ReasonRollOld:        "Enough replicas of the new generation are ready, so one of an old generation is stopped.",
	ReasonSuperseded:     "The generation is no longer wanted and the unit does not serve, so it is stopped first.",
	ReasonMakeRoom:       "No GPU is free for a new replica beside the old one, so the old one is stopped first; set update.maxUnavailable to 0 to forbid it.",
	ReasonServerUnused:   "No Server and no Model asks for etcd, NATS and the frontend any more; they are stopped.",
	ReasonInfraRecreated: "etcd or NATS move, as the annotation dynctl/recreate allows; every unit of the server stops and starts again.",

	ReasonLeftover:         "A Ray job that is dead left it under the server's name; before the server's first start it is swept, later it waits for dynctl sweep.",
	ReasonOrphan:           "It stands under our names, no accepted spec asks for it, and none says that it was deleted; end it with dynctl sweep, or set its spec again.",
	ReasonGenerationComing: "Not every role of the generation can serve yet: it is kept out of the frontend's choice.",
	ReasonGenerationWhole:  "Every role of the generation can serve: it is let into the frontend's choice.",
	ReasonDeadAttempt:      "The lease of an attempt that has ended is revoked, so that requests leave it at once.",
	ReasonUnclaimed:        "The lease stands under one of our generations and no process that lives can own it; it is revoked.",

	WaitBackOff:       "The process keeps exiting; it is executed again when the backoff is over. See dynctl logs, correct the spec, or dynctl rollback.",
	WaitRestarting:    "The process exited and is being executed again.",
	WaitPlacement:     "Ray did not place the group in time (180 s); it is asked for again with backoff. See dynctl get nodes and Ray's own log.",
	WaitNotOwner:      "The names belong to another spec store, so nothing is touched; use another server name or --ray-namespace, or point the reconciler at that store.",
	WaitLeftovers:     "What a dead driver left under the server's name is swept first; the server starts by itself afterwards.",
	WaitCuratorAlive:  "A Ray job that is alive runs units under the server's name, so nothing is touched; end that job or use another server name.",
	WaitInfraStopping: "etcd, NATS and the frontend are being stopped; they start again by themselves if they are wanted.",
	WaitPortConflict: "Another program has taken a port. A promised one is to be freed or changed (frontend.port); " +
		"a worker whose port was taken before it listened gets another. It is tried again every 5 s at first, later every minute; what is changed in the spec, at once.",
	WaitForeignEtcd:    "The external etcd turns out to be another server's, whatever its address is called; nothing is started. Leave etcd.endpoint empty, or name another etcd.",
	WaitRolloutStalled: "The roll cannot go on and the old generation keeps serving; the message says what is missing. Correct the spec, or dynctl rollback.",
	WaitAgentLost:      "The agent in Ray has been silent for 3 s, so what it told may be out of date; nothing is stopped meanwhile and it is submitted again. See dynctl doctor.",
	WaitNoAgent:        "No agent in Ray has told yet what runs, so nothing is started or stopped; see dynctl doctor and the reconciler's /readyz.",
	WaitAgentFailing: "The agent's Ray job ends again and again, or Ray does not start it, so nothing is started or healed; what runs goes on. " +
		"The message has the line of its log that says why; it heals by itself once that is mended. See dynctl doctor.",
	RayClusterNotFound:   "There is no RayCluster or RayService of the name that the reconciler follows; create it, or correct --raycluster or --rayservice.",
	RayClusterNotReady:   "The RayCluster has no head that is ready, or the RayService no active cluster; it goes on by itself. The message says what is missing.",
	RayClusterSuspending: "Somebody, or Kueue, suspends the RayCluster, so its pods are deleted with everything that runs in them; specs are kept. Set spec.suspend to false.",
	RayClusterSuspended:  "The RayCluster is suspended and has no pods; specs are kept, and everything is started again once spec.suspend is false.",
	RayReplicaFailure: "KubeRay cannot make or delete pods of the RayCluster, for the cause in the message (a quota, an admission webhook, ...); it goes on by itself " +
		"once that is mended.",
	RayUnreachable: "Ray's dashboard has not answered for 10 s, so no agent can be submitted; what runs goes on, and is healed for as long as the agent that is there lives. " +
		"Start Ray, or see that the reconciler reaches its head; it goes on by itself.",
	RayTokenMissing: "The RayCluster wants a token, and the Secret with it is not there, has no key auth_token or may not be read, or the account has none of its own; " +
		"what runs goes on. The message says which.",
	RayTokenRefused: "The Ray cluster refuses the token that it was asked with, so no agent can be submitted; what runs goes on. " +
		"Ray's pods read their token when they start: restart them after a change of the Secret.",
	RayServiceSwitching: "The RayService makes a new cluster: once that is active everything is started again there, and the one that serves is deleted after " +
		"rayClusterDeletionDelaySeconds. Raise that above the time that the models need, or set upgradeStrategy.type to None.",
	RayClusterOfService: "The RayCluster that --raycluster names is one of a RayService, which replaces it; follow the service with --rayservice.",
	ProtocolMismatch: "The agent in charge and the reconciler share no version of their protocol, so nothing is sent to it and what runs goes on; " +
		"the reconciler replaces it once Ray takes its job, so see that --ray-address answers, or run the reconciler that the agent came with.",
	RayClusterOutside: "The reconciler runs outside the pods' network: Ray is asked through the Kubernetes API, and etcd and the frontends are not reached, " +
		"so what is registered and served stays unknown. Run it in the Kubernetes cluster.",
	KubernetesUnreadable: "The Kubernetes API does not answer, or the reconciler's account may not read what it follows; what runs goes on. " +
		"The message names the right that is missing.",
	WaitRayWithoutGPUs: "No Ray node has a GPU; add one. It starts by itself then.",
	WaitGPUBusy: "A process that dynctl did not start holds memory of the card that the worker was given, and the worker does not serve; " +
		"end that process, or wait. Nodes without such cards are preferred.",
	WaitDynamoTooOld: "Dynamo on a Ray node is older than 1.4, whose workers refuse these command lines; install a newer ai-dynamo on every node. What runs goes on.",

	CondOK:              "As it should be.",
	CondWarnings:        "The spec is accepted, and something in it does not do what it seems to; the message names each field and what would make it count.",
	CondNotAccepted:     "No revision of the spec was ever accepted; see the condition Accepted.",
	CondPending:         "Ray has not placed every group yet; it goes on by itself.",
	CondStarting:        "Processes are starting and not healthy yet; it goes on by itself, or ends with StartupTimeout.",
	CondNotRegistered:   "Not every wanted worker has registered in Dynamo's etcd; it goes on by itself, else see dynctl logs.",
	CondEtcdUnreachable: "The reconciler cannot reach Dynamo's etcd, so what is registered is unknown; see dynctl status server/NAME. What serves goes on.",
	CondNotListed:       "The frontend does not list this generation with all its worker types; it goes on by itself, else see dynctl logs server/NAME.",
	CondFrontendDown:    "The frontend does not answer the reconciler; it is executed again if it exited. See dynctl status server/NAME.",
	CondScaledToZero:    "The spec asks for no replica; dynctl scale starts some.",
	CondDeleting:        "The spec was deleted and its units are being stopped.",
	CondDeletionHeld:    "A delete is held; dynctl confirm-deletions SERVER if it is meant, else set the objects again. A server waits for its models to go.",
	CondRolling:         "Units of older generations are being replaced within the update budget.",
	CondRestarting:      "Workers are executed again in place within the update budget, because the spec's restart text has changed.",
	CondRendererChanged: "This version would run another command for the same spec; what runs is kept until dynctl restart.",
	CondOldRevision:     "An older accepted revision runs; see the condition Accepted for why the newest does not.",
	CondRolledBack:      "The newest generation does not start, so the previous one is kept until the spec is edited; see dynctl logs.",
	CondSpecMissing:     "What runs was accepted, and the spec bucket has lost its spec (purged or recreated). It goes on; set it again, or dynctl delete.",
	CondStoreFull:       "The store takes no writes, or soon will not: a full disk, a quota, no inodes or a fault, as the message says. What runs goes on; it heals by itself.",
	CondInfraStarting:   "The worker waits for the server's etcd and NATS; it goes on by itself.",

	ReasonTPDoesNotFit:     "No node, and no even split over nodes, could hold the worker even if the cluster were empty; lower the parallel sizes, or add larger nodes.",
	ReasonInsufficientGPUs: "The worker would fit, but its GPUs are in use; it starts by itself when they are free. Or scale another model down, or raise its priority.",
	ReasonInsufficientCPUs: "The worker would fit, but CPUs are missing beside its GPUs; it starts by itself when they are free, or lower resources.cpus.",
	ReasonNoLabelledNodes:  "No node carries the labels that are asked for; label them (ray start --labels ray.io/node-type=worker), or change nodeSelector or excludeHeadNode.",
	ReasonWaitingForNodes:  "The group is requested all the same and waits in Ray for nodes to join; it goes on by itself.",

	ExitExited:         "The process ended by itself; code 0 counts as a failure too, since nothing asked it to end. See dynctl logs.",
	ExitKilled:         "A signal ended the process; code -9 is often the kernel's out-of-memory killer.",
	ExitHung:           "The process lived and failed three health checks in a row, so it was killed and its lease revoked.",
	ExitStartupTimeout: "The process was not healthy within spec.startupTimeout (a frontend: 5 s) and was killed; raise the time, or see dynctl logs.",
	ExitExecFailed:     "The process could not be executed; the log tail says why: a program, a file or a variable is missing on the node.",
	UnitActorSilent: "Another execution was asked for and the actor answers nothing (its process hangs, its node's disk does). What it executed may serve, so it is left alone, " +
		"and executed again once it answers; suspend and resume the model to end it.",
	PlacementStartFailed: "Ray refused to create the group or its actors, five times in a row; the message says what it said. It is tried again with backoff.",

	"UnsafePath": "The log was not read: its path leads through a link, or belongs to somebody else; see that only Ray's user writes to the session directory.",

	"Created":         "Ray placed the group.",
	"Executed":        "A process was executed.",
	"Stopped":         "The unit was stopped; nothing of it is left.",
	"RouterResolved":  "The answer of the routing changed; detail.models names the models that caused it.",
	"RouterApplied":   "The frontend, or the workers of a model that carries its own, serve with the routing that was resolved.",
	"Planned":         "The commands of one round.",
	"LeaderElected":   "This reconciler acts from now on.",
	"LeaderLost":      "This reconciler stands by from now on.",
	"ValueUnreadable": "A value in a bucket cannot be read and is set aside; everything else goes on. Its owner writes over it; a key of the spec bucket is its writer's to delete.",
	"AgentConnected":  "An agent has told all that runs; commands reach it.",
}

// ReasonText says in a sentence or two what a reason means and what to do about
// it, for every reason of a condition, an action, an exit or a fact, those of
// package state included; empty for a reason that does not exist.
func ReasonText(reason string) string {
	if text := state.ReasonText(reason); text != "" {
		return text
	}
	return reasonTexts[reason]
}

// Reasons lists the reasons that this package adds to those of package state,
// sorted.
func Reasons() []string { return slices.Sorted(maps.Keys(reasonTexts)) }
