//go:build tools

// Package tools pins the API server of Kubernetes that `make kube` runs, in a module of
// its own: it wants a replacement for each of its parts.
package tools

import _ "k8s.io/kubernetes/cmd/kube-apiserver"
