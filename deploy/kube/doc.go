// Package kube checks what deploy/ has for Kubernetes: the chart, the manifests for
// kustomize and the blocks of docs/kubernetes.md are rendered as they are documented,
// and held against the schemas of Kubernetes, KubeRay and the Prometheus operator.
//
// It is a module of its own, so that nothing of it is the product's; `make kube-check`
// fetches helm and kubectl and runs it.
package kube
