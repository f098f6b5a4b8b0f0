package ray

import (
	"cmp"
	"fmt"
	"net"

	rayv1 "github.com/ray-project/kuberay/ray-operator/apis/ray/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dynctl/actors"
	"dynctl/state"
)

const (
	defaultDashboardPort = "8265"
	dashboardEndpoint    = "dashboard" // its name in the status of a RayCluster, and of the head Service's port

	// What KubeRay writes on what it makes for a RayService.
	labelOwnerKind = "ray.io/originated-from-crd"
	labelOwner     = "ray.io/originated-from-cr-name"
	// defaultDeletionDelay is how long KubeRay keeps a cluster that a RayService has
	// left, in seconds.
	defaultDeletionDelay = 60
)

// dashboard is the address of the dashboard that a cluster's status reports.
type dashboard struct {
	address string // host and port in the pods' network
	service string // the head's Service; empty: not known yet
	notice  state.RayNotice
}

// dashboard reads the objects. The first trouble that is found counts.
func (v view) dashboard(t Target) (dashboard, error) {
	if t.Service != "" {
		if err := v.serviceTrouble(t); err != nil {
			return dashboard{}, err
		}
	}
	name := v.clusterName(t)
	where := "RayCluster " + t.Namespace + "/" + name
	switch c := v.cluster; {
	case c.err != nil:
		return dashboard{}, unreadable(where, "rayclusters.ray.io", c.err)
	case c.object == nil:
		return dashboard{}, &clusterError{actors.RayClusterNotFound, where, "there is no such RayCluster: create it, or correct " + t.flag(), ErrNotReady}
	}
	if err := clusterTrouble(where, v.cluster.object); err != nil {
		return dashboard{}, err
	}
	status := v.cluster.object.Status
	host := hostOf(status.Head)
	if host == "" {
		return dashboard{}, notReady(where, "its status names no address of the head yet", describe(v.cluster.object))
	}
	port := cmp.Or(status.Endpoints[dashboardEndpoint], defaultDashboardPort)
	return dashboard{net.JoinHostPort(host, port), status.Head.ServiceName, v.notice(t)}, nil
}

// hostOf is the head's address. It is an IP rather than the service's name: that needs
// no cluster DNS where this program runs, and a change of it is followed.
func hostOf(head rayv1.HeadInfo) string {
	if head.ServiceIP == "" || head.ServiceIP == "None" {
		return head.PodIP
	}
	return head.ServiceIP
}

// serviceTrouble is why a RayService names no active cluster.
func (v view) serviceTrouble(t Target) error {
	where := t.String()
	s := v.service.object
	switch {
	case v.service.err != nil:
		return unreadable(where, "rayservices.ray.io", v.service.err)
	case s == nil:
		return &clusterError{actors.RayClusterNotFound, where, "there is no such RayService: create it, or correct --rayservice", ErrNotReady}
	case s.DeletionTimestamp != nil:
		return notReady(where, "it is being deleted", "create it again, or correct --rayservice")
	case s.Status.ActiveServiceStatus.RayClusterName == "":
		what := "it has no active cluster yet"
		if pending := s.Status.PendingServiceStatus.RayClusterName; pending != "" {
			what += "; " + pending + " is the first one and not active before its Serve applications run"
		}
		return notReady(where, what, fmt.Sprintf("see kubectl -n %s describe rayservice %s", s.Namespace, s.Name))
	}
	return nil
}

// clusterTrouble is why a RayCluster has no head that could be asked.
func clusterTrouble(where string, c *rayv1.RayCluster) error {
	conditions := c.Status.Conditions
	head := meta.FindStatusCondition(conditions, string(rayv1.HeadPodReady))
	failure := meta.FindStatusCondition(conditions, string(rayv1.RayClusterReplicaFailure))
	asked := c.Spec.Suspend != nil && *c.Spec.Suspend
	suspended := meta.IsStatusConditionTrue(conditions, string(rayv1.RayClusterSuspended))
	if asked && c.Status.State == rayv1.Suspended { //nolint:staticcheck // older operators set the state alone
		suspended = true
	}
	switch {
	case c.DeletionTimestamp != nil:
		return notReady(where, "it is being deleted", "create it again, or name another one")
	case suspended && !asked:
		return notReady(where, "it is being resumed", describe(c))
	case suspended:
		return &clusterError{actors.RayClusterSuspended, where + " is suspended, and its pods are gone", resume(c), ErrNotReady}
	case meta.IsStatusConditionTrue(conditions, string(rayv1.RayClusterSuspending)), asked:
		return &clusterError{actors.RayClusterSuspending, where + " is being suspended: its pods, with everything in them, are deleted", resume(c), ErrNotReady}
	case (head == nil || head.Status != metav1.ConditionTrue) && isTrue(failure):
		return &clusterError{actors.RayReplicaFailure, fmt.Sprintf("%s: its pods cannot be made (%s: %s)", where, failure.Reason, failure.Message), describe(c), ErrNotReady}
	case head == nil: // KubeRay sets it since 1.3
		return notReady(where, "its status has no condition HeadPodReady yet", describe(c))
	case head.Status != metav1.ConditionTrue:
		return notReady(where, fmt.Sprintf("its head is not ready (%s: %s)", head.Reason, head.Message), describe(c))
	}
	return nil
}

// notice is what somebody should look at although the head is ready.
func (v view) notice(t Target) state.RayNotice {
	c := v.cluster.object
	where := "RayCluster " + t.Namespace + "/" + c.Name
	if s := v.service.object; s != nil {
		if next := s.Status.PendingServiceStatus.RayClusterName; next != "" && next != c.Name {
			return switching(s, next)
		}
	}
	if owner := c.Labels[labelOwner]; t.Service == "" && owner != "" && c.Labels[labelOwnerKind] == "RayService" {
		return state.RayNotice{
			Reason:  actors.RayClusterOfService,
			Message: fmt.Sprintf("%s belongs to RayService %s, which replaces it with its next upgrade and deletes it then", where, owner),
			Way:     fmt.Sprintf("follow the service with --rayservice %s/%s in place of --raycluster", t.Namespace, owner),
		}
	}
	if failure := meta.FindStatusCondition(c.Status.Conditions, string(rayv1.RayClusterReplicaFailure)); isTrue(failure) {
		return state.RayNotice{
			Reason: actors.RayReplicaFailure,
			Message: fmt.Sprintf("%s has %d of %d workers, for pods cannot be made or deleted (%s: %s)", where,
				c.Status.ReadyWorkerReplicas, c.Status.DesiredWorkerReplicas, failure.Reason, failure.Message),
			Way: describe(c),
		}
	}
	return state.RayNotice{}
}

// switching tells what a switch of the service will cost, before it happens.
func switching(s *rayv1.RayService, next string) state.RayNotice {
	delay := int32(defaultDeletionDelay)
	if s.Spec.RayClusterDeletionDelaySeconds != nil {
		delay = *s.Spec.RayClusterDeletionDelaySeconds
	}
	return state.RayNotice{
		Reason: actors.RayServiceSwitching,
		Message: fmt.Sprintf("RayService %s/%s makes a new cluster, %s: once it is active, everything is started again there, "+
			"and KubeRay deletes the cluster that serves now, %s, %d s later",
			s.Namespace, s.Name, next, s.Status.ActiveServiceStatus.RayClusterName, delay),
		Way: "requests fail from then until the models are up in the new cluster: raise spec.rayClusterDeletionDelaySeconds above the time that they need, " +
			"or set spec.upgradeStrategy.type to None before the next change",
	}
}

// fingerprint is another one whenever Endpoint has something else to say.
func (v view) fingerprint(t Target) string {
	d, err := v.dashboard(t)
	out := fmt.Sprintf("%+v %v", d, err)
	if v.cluster.object != nil && hasToken(v.cluster.object) {
		token, from, err := v.token(nil)
		out += fmt.Sprint(token, from, err)
	}
	return out
}

func isTrue(c *metav1.Condition) bool { return c != nil && c.Status == metav1.ConditionTrue }

func notReady(where, what, way string) error {
	return &clusterError{actors.RayClusterNotReady, where + ": " + what, way, ErrNotReady}
}

func describe(c *rayv1.RayCluster) string {
	return fmt.Sprintf("see kubectl -n %s describe raycluster %s", c.Namespace, c.Name)
}

func resume(c *rayv1.RayCluster) string {
	return fmt.Sprintf("set spec.suspend of raycluster %s in %s to false (Kueue does so when there is quota for it); everything is started again then", c.Name, c.Namespace)
}

// unreadable says why Kubernetes does not show an object.
func unreadable(where, resource string, err error) error {
	if apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) {
		return &clusterError{actors.KubernetesUnreadable, where, "the account needs get, list and watch on " + resource, err}
	}
	return &clusterError{actors.KubernetesUnreadable, where + ": the Kubernetes API cannot say", "see that its address is reached from here", err}
}
