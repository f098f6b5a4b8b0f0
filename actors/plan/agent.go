package plan

import (
	"slices"

	"dynctl/actors"
)

// What an agent that does not stay leaves undone. Each of these may have that cause
// alone; where a process ended, the reason is its own.
var (
	unknownWithoutAgent = []string{actors.WaitAgentLost, actors.WaitNoAgent}
	undoneWithoutAgent  = []string{
		actors.CondPending, actors.WaitPlacement, actors.PlacementStartFailed, actors.CondStarting, actors.CondInfraStarting, actors.WaitInfraStopping,
		actors.CondNotRegistered, actors.CondEtcdUnreachable, actors.CondFrontendDown, actors.CondNotListed,
	}
)

// because is the reason of a condition that is not true: that no agent stays, where
// that explains what was found, which the message repeats.
func (c *conditions) because(reason, message string) (string, string) {
	switch {
	case c.failing == nil:
	case slices.Contains(unknownWithoutAgent, reason):
		return actors.FailureReason(*c.failing), c.failing.String()
	case c.failing.Up: // it does its work between two failures
	case slices.Contains(undoneWithoutAgent, reason):
		if message != "" {
			message = " (" + message + ")"
		}
		return actors.FailureReason(*c.failing), c.failing.String() + message
	}
	return reason, message
}
