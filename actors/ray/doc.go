// Package ray is the adapter to a Ray cluster. It finds the cluster's dashboard
// (Resolver), says what the cluster is (Check), packs the agent (Package) and
// keeps exactly one agent alive in it as a Ray job (Supervisor).
//
// Everything goes through the dashboard's HTTP API; this program never joins the
// cluster. What Ray runs besides the agent is the agent's business.
//
// In Kubernetes (RayCluster) the way to the dashboard, and the token for it, are read
// from the objects of KubeRay, which are watched; each state of them in which there is
// no way has its reason (package actors). Otherwise both are given (Static).
//
// It imports actors and state, and actors/agent for the agent's sources.
//
// Vocabulary: a job is a Ray job (a driver with a submission id); a package is a
// zip in Ray's own store, named by the hash of what is in it; the head is the
// node that runs the dashboard.
package ray
