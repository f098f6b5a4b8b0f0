package main

import (
	"slices"
	"strings"

	"dynctl/actors"
	"dynctl/events"
	"dynctl/state"
)

// vocable is a word that dynctl prints and that can be explained.
type vocable struct {
	word, kind, text string
	// see is the command that shows where it occurs.
	see string
}

// conditionTexts say when a condition is true (docs/status.md).
var conditionTexts = map[string]string{
	state.CondAccepted:     "True when the revision observed is valid and runs.",
	state.CondScheduled:    "True when Ray has placed every group that is wanted.",
	state.CondWorkersReady: "True when every wanted worker of this generation is healthy.",
	state.CondPrefillReady: "True when every wanted prefill worker of this generation is healthy; only where there are any.",
	state.CondDecodeReady:  "True when every wanted decode worker of this generation is healthy; only where there are any.",
	state.CondRegistered:   "True when every wanted worker stands in Dynamo's etcd; of a server: when etcd can be read.",
	state.CondRouterReady:  "True when the frontend lists the model and names this generation with all its worker types; of a server: when the frontend answers.",
	state.CondReady:        "True when Accepted, Scheduled, WorkersReady, Registered and RouterReady are, all for the newest revision; the first that is not says why.",
	state.CondAvailable:    "True when a request would be served now, by any generation: the frontend's word alone.",
	state.CondUpToDate:     "True when what runs is what was asked for: no roll under way, no older revision, nothing held.",
	state.CondSuspended:    "True when spec.suspend is true and accepted; neither good nor bad.",
}

// eventTexts say what an event tells (docs/events.md).
var eventTexts = map[string]string{
	events.TypeStart:             "Asks the agent to make a unit so: its group, its actors, the attempts named.",
	events.TypeStop:              "Asks the agent to end a unit gracefully.",
	events.TypeSweep:             "Asks the agent to end what no spec asks for, in any state.",
	events.TypeSpecAccepted:      "A revision is valid and runs from now on.",
	events.TypeSpecRejected:      "A revision is not valid; the last accepted one keeps running.",
	events.TypeSpecDeleted:       "An object was deleted and nothing of it is left.",
	events.TypePlan:              "The commands of one round, in one line. Rounds without commands tell nothing.",
	events.TypePlacementCreated:  "Ray has placed a group.",
	events.TypePlacementFailed:   "A group was not ready in time, or Ray refused it; it is tried again with backoff.",
	events.TypeUnitStarted:       "A process was executed.",
	events.TypeUnitReady:         "A unit is registered in etcd and listed by the frontend.",
	events.TypeUnitExited:        "A process ended that was not asked to; the event holds the exit with the last lines of its log.",
	events.TypeUnitStopped:       "A stop is done; nothing of the unit is left.",
	events.TypeUnitBackoff:       "The next attempt of a unit waits; the message says until when.",
	events.TypeOrphanFound:       "Something stands under our names that no accepted spec asks for; it waits for dynctl sweep.",
	events.TypeOrphanSwept:       "A sweep is done; nothing of the unit is left.",
	events.TypeRouterResolved:    "The answer of a server's routing changed.",
	events.TypeRouterApplied:     "In the vocabulary, and never published by this version: what the frontend executes is told by start with the reason FrontendChanged.",
	events.TypeRolloutStarted:    "Units of older generations are being replaced.",
	events.TypeRolloutCompleted:  "Every unit is of the wanted generation.",
	events.TypeRolloutStalled:    "A roll cannot go on, or its replacement does not start and the previous generation comes back.",
	events.TypeRolloutSuperseded: "A newer edit took over before a roll was done.",
	events.TypeLeaderElected:     "A reconciler acts from now on, in the epoch that the event carries.",
	events.TypeLeaderLost:        "A reconciler no longer acts.",
	events.TypeAgentConnected:    "An agent has told all that Ray holds; commands reach it from now on.",
	events.TypeAgentLost: "The agent has been silent for 3 s, or none stays (AgentFailing) or can be there (RayClusterSuspended, RayTokenRefused, ...). " +
		"What runs keeps running; nothing is stopped until an agent is back.",
	events.TypeValueUnreadable: "A value in a bucket cannot be read and is set aside; everything else goes on.",
	events.TypeDeletionBlocked: "A delete is held: more than half of a server's models went at once, or a server still has models.",
}

// terms are all the words, conditions first.
func terms() []vocable {
	var out []vocable
	for _, c := range conditionTypes {
		out = append(out, vocable{c, "condition", conditionTexts[c], "dynctl status model/NAME"})
	}
	for _, e := range eventTypes {
		out = append(out, vocable{e, "event", eventTexts[e], "dynctl events --type " + e})
	}
	for _, r := range slices.Sorted(slices.Values(slices.Concat(actors.Reasons(), state.Reasons()))) {
		out = append(out, vocable{r, "reason", actors.ReasonText(r), ""})
	}
	return out
}

// termsNamed are the words that are meant, in any case; a word may be a condition
// and a reason.
func termsNamed(word string) []vocable {
	return slices.DeleteFunc(terms(), func(t vocable) bool { return !strings.EqualFold(t.word, word) })
}
