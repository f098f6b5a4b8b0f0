package state

import (
	"maps"
	"slices"
)

// Reasons why a spec is rejected. Each is a constant that scripts may match on;
// [ReasonText] says what it means and what to do.
const (
	// ReasonInvalidSpec: the document cannot be read as an object.
	ReasonInvalidSpec = "InvalidSpec"
	// ReasonUnknownVersion: its apiVersion is one that this program does not read.
	ReasonUnknownVersion = "UnknownVersion"
	// ReasonTooLarge: the value is over MaxValueSize.
	ReasonTooLarge = "TooLarge"
	// ReasonKeyMismatch: the key in the store and the metadata name different objects.
	ReasonKeyMismatch = "KeyMismatch"
	// ReasonInvalidName: metadata.name or metadata.server is not a valid name.
	ReasonInvalidName = "InvalidName"
	// ReasonEmptyModel: spec.model is missing or empty.
	ReasonEmptyModel = "EmptyModel"
	// ReasonInvalidModel: the model cannot stand on a command line.
	ReasonInvalidModel = "InvalidModel"
	// ReasonEmptySlug: no letter or digit of the served name is left in its slug.
	ReasonEmptySlug = "EmptySlug"
	// ReasonInvalidServedName: the engines would read the served name as several, or
	// as a flag.
	ReasonInvalidServedName = "InvalidServedName"
	// ReasonUnknownEngine: spec.engine is none of the engines.
	ReasonUnknownEngine = "UnknownEngine"
	// ReasonUnknownMode: spec.mode is neither aggregated nor disagg.
	ReasonUnknownMode = "UnknownMode"
	// ReasonUnknownRouterMode: router.mode is none of Dynamo's router modes.
	ReasonUnknownRouterMode = "UnknownRouterMode"
	// ReasonUnknownPlane: requestPlane or eventPlane is not one that Dynamo has.
	ReasonUnknownPlane = "UnknownPlane"
	// ReasonUnknownValue: a field holds none of the values that it may have.
	ReasonUnknownValue = "UnknownValue"
	// ReasonInvalidNamespace: dynamoNamespace holds a dot or another character
	// that a Dynamo namespace cannot have.
	ReasonInvalidNamespace = "InvalidNamespace"
	// ReasonInvalidAddress: an etcd endpoint, NATS URL or port is not an address.
	ReasonInvalidAddress = "InvalidAddress"
	// ReasonRolesWithoutDisagg: prefill or decode with mode aggregated.
	ReasonRolesWithoutDisagg = "RolesWithoutDisagg"
	// ReasonHalfDisagg: one of prefill and decode without the other.
	ReasonHalfDisagg = "HalfDisagg"
	// ReasonReplicasWithDisagg: spec.replicas with mode disagg.
	ReasonReplicasWithDisagg = "ReplicasWithDisagg"
	// ReasonEmptyRole: a role of a disaggregated model with no replica.
	ReasonEmptyRole = "EmptyRole"
	// ReasonNegativeCount: a count or a duration below its lowest value.
	ReasonNegativeCount = "NegativeCount"
	// ReasonCountTooHigh: a count or a duration above its highest value.
	ReasonCountTooHigh = "CountTooHigh"
	// ReasonBadParallelSize: a parallel size is not a positive whole number.
	ReasonBadParallelSize = "BadParallelSize"
	// ReasonDataParallelNodes: data parallelism over several nodes.
	ReasonDataParallelNodes = "DataParallelNodes"
	// ReasonNoResources: a worker asks for neither GPUs nor CPUs.
	ReasonNoResources = "NoResources"
	// ReasonManagedFlag: arguments name a flag that dynctl sets itself.
	ReasonManagedFlag = "ManagedFlag"
	// ReasonInvalidArgument: a key of arguments names no flag, or its value is none that
	// the flag takes.
	ReasonInvalidArgument = "InvalidArgument"
	// ReasonRayExecutor: the engine would place its ranks itself, through Ray.
	ReasonRayExecutor = "RayExecutor"
	// ReasonReservedRouterArgs: router.args sets what router.mode and
	// router.kvEvents are for.
	ReasonReservedRouterArgs = "ReservedRouterArgs"
	// ReasonManagedEnv: env names a variable that dynctl sets itself.
	ReasonManagedEnv = "ManagedEnv"
	// ReasonInvalidEnv: a name or a value cannot stand in an environment.
	ReasonInvalidEnv = "InvalidEnv"
	// ReasonPipAndUV: the merged runtimeEnv has both pip and uv.
	ReasonPipAndUV = "PipAndUV"
	// ReasonUnknownArgument: the program that the nodes run has no such flag.
	ReasonUnknownArgument = "UnknownArgument"
	// ReasonNotForEngine: the engine, or the role, has no flag for a field.
	ReasonNotForEngine = "NotForEngine"
	// ReasonKVEventsUnread: kvEventsConfig asks for KV events that no router reads.
	ReasonKVEventsUnread = "KVEventsUnread"
	// ReasonKVEventsWithoutKV: kvEvents is true where the router mode is not kv.
	ReasonKVEventsWithoutKV = "KVEventsWithoutKV"
	// ReasonHybridCacheConflict: KV events are asked for of a worker with the
	// hybrid KV cache manager.
	ReasonHybridCacheConflict = "HybridCacheConflict"
	// ReasonDuplicateServedName: two models of a server under one served name.
	ReasonDuplicateServedName = "DuplicateServedName"
	// ReasonSlugConflict: two models of a server with one slug, and so one actor label.
	ReasonSlugConflict = "SlugConflict"
	// ReasonEndpointConflict: two models of a server with one Dynamo component.
	ReasonEndpointConflict = "EndpointConflict"
	// ReasonNamespaceConflict: two servers on one etcd would see each other's workers.
	ReasonNamespaceConflict = "NamespaceConflict"
	// ReasonMovesInfra: the revision would move etcd or NATS or rename the
	// namespace under registered workers.
	ReasonMovesInfra = "MovesInfra"
	// ReasonTooManyObjects: the store holds more servers and models than it may.
	ReasonTooManyObjects = "TooManyObjects"
	// ReasonTooManyBytes: the specs, or what they render to, hold more than they may together.
	ReasonTooManyBytes = "TooManyBytes"
	// ReasonPolicyDenied: a rule of the reconciler's policy denies it.
	ReasonPolicyDenied = "PolicyDenied"
)

var reasonTexts = map[string]string{
	ReasonInvalidSpec: "The document cannot be read as a Server or a Model; correct the place that the message names (dynctl schema prints what is allowed).",
	ReasonUnknownVersion: "The document is of an apiVersion that this reconciler does not read; it is kept, and what was accepted before goes on: " +
		"upgrade the reconciler (or undo its downgrade), or write the document in a version that the message names.",
	ReasonTooLarge:     "The value is larger than 512 KiB; move large content out of the spec, for example into a file named by env fromFile.",
	ReasonKeyMismatch:  "The key in the store names another object than the document's metadata; write it under the key that fits, or let dynctl set choose the key.",
	ReasonInvalidName:  "A name has to start and end with a-z or 0-9 and be at most 63 characters of a-z, 0-9 and - (a model's may also hold _ and .); rename the object.",
	ReasonEmptyModel:   "A Model needs spec.model: a hub id or a path that the engine can load.",
	ReasonInvalidModel: "The model cannot stand on a command line as it is written: it begins with - or holds a NUL; write a path such as ./NAME.",
	ReasonEmptySlug:    "The served name holds no letter a-z and no digit, so no actor can be named after it; set spec.servedName.",
	ReasonInvalidServedName: "The engines split served names at spaces and commas, and take one that begins with - for a flag; " +
		"no file has a name of any length; set spec.servedName to one word, no longer than the message says.",
	ReasonUnknownEngine:      "The engine is not known; use vllm, sglang, trtllm or mocker.",
	ReasonUnknownMode:        "The mode is not known; use aggregated or disagg.",
	ReasonUnknownRouterMode:  "Dynamo has no such router mode; use one of those that the message lists.",
	ReasonUnknownPlane:       "The plane is not known; requestPlane is nats or tcp, eventPlane is nats or zmq.",
	ReasonUnknownValue:       "The field takes only the values that the message lists.",
	ReasonInvalidNamespace:   "A Dynamo namespace is one word without dots; use a-z, 0-9, - and _ in spec.dynamoNamespace.",
	ReasonInvalidAddress:     "The address cannot be dialled as it is written; correct the URL or the port.",
	ReasonRolesWithoutDisagg: "prefill and decode belong to mode disagg; set spec.mode to disagg or remove them.",
	ReasonHalfDisagg:         "A disaggregated model needs both roles; give prefill and decode, or neither for one worker of each.",
	ReasonReplicasWithDisagg: "A disaggregated model has no replicas of its own; set spec.prefill.replicas and spec.decode.replicas.",
	ReasonEmptyRole:          "A disaggregated model serves nothing without a worker of each role; give each at least one replica, or set spec.suspend.",
	ReasonNegativeCount:      "A count is below the lowest that makes sense; raise it to the bound that the message names.",
	ReasonCountTooHigh:       "A count or a duration is above the highest that is taken; lower it to the bound that the message names.",
	ReasonBadParallelSize:    "Parallel sizes decide how many GPUs a worker gets; write them as positive whole numbers without quotes.",
	ReasonDataParallelNodes:  "A worker's data parallel ranks all run on one node; remove data_parallel_size_local and use replicas to spread over nodes.",
	ReasonNoResources:        "Ray places nothing that reserves nothing; set resources.cpus to at least 1 for a worker without GPUs.",
	ReasonManagedFlag:        "dynctl sets this flag itself, and a second one would contradict it; remove the argument and use the spec field that the message names.",
	ReasonInvalidArgument: "The engine would refuse the argument: the key names no flag as written, the value is none that it takes, " +
		"or another argument sets the same flag; write what the message names.",
	ReasonRayExecutor:        "The engine would place its ranks itself, beside the GPUs that it is given; remove the argument, since dynctl spreads a worker over nodes by itself.",
	ReasonReservedRouterArgs: "The router mode and its KV events are fields of their own; use spec.router.mode and spec.router.kvEvents.",
	ReasonManagedEnv:         "dynctl sets this variable itself; remove it, and use what the message names instead.",
	ReasonInvalidEnv: "The name or the value cannot stand in a process environment; a name has no = and is not empty, neither holds a NUL, " +
		"both together are shorter than 128 KiB, and what Ray is given is text.",
	ReasonUnknownArgument:     "The program that the nodes run has no such flag, and would end at its start; write the one that the message names, or remove it.",
	ReasonPipAndUV:            "Ray installs with pip or with uv, not both; keep one of them in the runtimeEnv of the server and its models.",
	ReasonNotForEngine:        "The engine, or the role, has no flag for this field, so it could not take effect; remove it, or use what the message names.",
	ReasonKVEventsUnread:      "kvEventsConfig asks for KV events that no router reads; set router.mode to kv and router.kvEvents to true, or remove enable_kv_cache_events.",
	ReasonKVEventsWithoutKV:   "Only the kv router reads KV events; set router.mode to kv, or leave router.kvEvents at auto.",
	ReasonHybridCacheConflict: "A worker with the hybrid KV cache manager cannot publish KV events; remove disable_hybrid_kv_cache_manager: false, or set kvEvents to false.",
	ReasonDuplicateServedName: "Clients could not tell two models of one served name apart; give one of them another spec.servedName.",
	ReasonSlugConflict:        "Two served names come to the same slug, which names their actors; choose a spec.servedName that differs in its letters or digits.",
	ReasonEndpointConflict:    "A role of one model would register where another model does; choose another spec.servedName.",
	ReasonNamespaceConflict:   "Two servers on one etcd whose namespaces are equal, or one the other's followed by -, see each other's workers; choose another spec.dynamoNamespace.",
	ReasonMovesInfra:          "The change would cut off registered workers; set the annotation dynctl/recreate to the revision that it replaces, or delete the models first.",
	ReasonTooManyObjects: "The store holds as many servers and models as it may, and newer ones are left out; " +
		"delete some, or raise the reconciler's --max-objects or --max-servers.",
	ReasonTooManyBytes: "The specs hold as many bytes together as they may, or what they render to does; " +
		"make this one smaller, delete some, or raise the reconciler's --max-current-bytes.",
	ReasonPolicyDenied: "A rule of the reconciler's policy denies what the message names, and what was accepted before goes on; " +
		"remove it from the spec, or have the rule changed (reconciler --policy).",
}

// ReasonText says in one sentence what a reason means and what to do about it;
// empty for a reason that this package does not have.
func ReasonText(reason string) string { return reasonTexts[reason] }

// Reasons lists the reasons of this package, sorted.
func Reasons() []string { return slices.Sorted(maps.Keys(reasonTexts)) }
