package actors

import (
	"cmp"

	"dynctl/state"
)

// Reasons of the Ray cluster: why no agent can be in it, or what somebody should look
// at although one is.
const (
	// RayClusterNotFound: there is no RayCluster, or RayService, of this name.
	RayClusterNotFound = "RayClusterNotFound"
	// RayClusterNotReady: it has no head that could be asked.
	RayClusterNotReady = "RayClusterNotReady"
	// RayClusterSuspending: its pods are being deleted.
	RayClusterSuspending = "RayClusterSuspending"
	// RayClusterSuspended: its pods are deleted.
	RayClusterSuspended = "RayClusterSuspended"
	// RayReplicaFailure: KubeRay cannot make or delete its pods.
	RayReplicaFailure = "RayReplicaFailure"
	// RayUnreachable: its dashboard does not answer.
	RayUnreachable = "RayUnreachable"
	// RayTokenMissing: its authentication wants a token that cannot be had.
	RayTokenMissing = "RayTokenMissing"
	// RayTokenRefused: the token is not the cluster's.
	RayTokenRefused = "RayTokenRefused"
	// RayServiceSwitching: the RayService makes another cluster, to which it will switch.
	RayServiceSwitching = "RayServiceSwitching"
	// RayClusterOfService: the RayCluster belongs to a RayService.
	RayClusterOfService = "RayClusterOfService"
	// RayClusterOutside: the pods' network is not reached from the reconciler.
	RayClusterOutside = "RayClusterOutside"
	// ProtocolMismatch: agent and reconciler share no version of their protocol.
	ProtocolMismatch = "ProtocolMismatch"
	// KubernetesUnreadable: the Kubernetes API does not say, or not to this account.
	KubernetesUnreadable = "KubernetesUnreadable"
)

// FailureReason is the constant reason why no agent stays.
func FailureReason(f state.AgentFailure) string { return cmp.Or(f.Reason, WaitAgentFailing) }

// FailureText is that reason with what there is to say of it.
func FailureText(f state.AgentFailure) string {
	if f.Up {
		return FailureReason(f) + ", with an agent at work in between: " + f.String()
	}
	return FailureReason(f) + ": " + f.String()
}
