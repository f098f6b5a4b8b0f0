// Package kube proves what dynctl does on Kubernetes against a real API server with
// KubeRay's own definitions: the chart is installed into it by helm, and the way to a
// RayCluster is followed with the chart's service account and its rights (make kube).
//
// There are no nodes and no operator: the tests write what KubeRay would.
package kube
