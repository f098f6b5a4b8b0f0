package ray

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	rayv1 "github.com/ray-project/kuberay/ray-operator/apis/ray/v1"
	"github.com/ray-project/kuberay/ray-operator/pkg/client/clientset/versioned"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	defaultDashboardPort = "8265"
	dashboardEndpoint    = "dashboard" // its name in the status of a RayCluster
)

// RayCluster is the dashboard of a RayCluster object in Kubernetes, wherever
// KubeRay puts its head.
type RayCluster struct {
	namespace, name string
	client          versioned.Interface
	changed         chan struct{}

	mu      sync.Mutex
	known   bool // the watch has delivered an answer
	address string
	err     error
}

// NewRayCluster follows the RayCluster name in namespace through a client.
func NewRayCluster(client versioned.Interface, namespace, name string) *RayCluster {
	return &RayCluster{namespace: namespace, name: name, client: client, changed: make(chan struct{}, 1)}
}

// DialRayCluster follows the RayCluster "namespace/name" with the credentials of
// KUBECONFIG, ~/.kube/config or the pod. Errors: ErrAddress, or what the
// configuration says.
func DialRayCluster(ref string) (*RayCluster, error) {
	namespace, name, err := splitRef(ref)
	if err != nil {
		return nil, err
	}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		clientcmd.NewDefaultClientConfigLoadingRules(), nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("RayCluster %s: %w: set KUBECONFIG, or run in a pod with a service account that may get and watch rayclusters", ref, err)
	}
	client, err := versioned.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("RayCluster %s: %w", ref, err)
	}
	return NewRayCluster(client, namespace, name), nil
}

// Run watches the object until the context ends.
func (r *RayCluster) Run(ctx context.Context) error {
	pause := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(200*time.Millisecond),
		backoff.WithMaxInterval(10*time.Second),
		backoff.WithMaxElapsedTime(0),
	)
	for ctx.Err() == nil {
		seen, err := r.follow(ctx)
		if seen {
			pause.Reset()
		}
		if err != nil && !seen {
			r.set("", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause.NextBackOff()):
		}
	}
	return nil
}

// follow reads the object and then watches it until the watch ends. It says
// whether the object could be read.
func (r *RayCluster) follow(ctx context.Context) (bool, error) {
	only := metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", r.name).String()}
	list, err := r.client.RayV1().RayClusters(r.namespace).List(ctx, only)
	if err != nil {
		return false, r.explain(err)
	}
	r.read(list.Items)
	only.ResourceVersion = list.ResourceVersion
	w, err := r.client.RayV1().RayClusters(r.namespace).Watch(ctx, only)
	if err != nil {
		return true, r.explain(err)
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return true, nil
		case event, open := <-w.ResultChan():
			cluster, ok := event.Object.(*rayv1.RayCluster)
			switch {
			case !open || !ok: // the end of the watch, or an error: list again
				return true, nil
			case cluster.Name != r.name:
			case event.Type == watch.Deleted:
				r.set("", r.absent())
			default:
				r.set(r.dashboard(cluster))
			}
		}
	}
}

func (r *RayCluster) read(clusters []rayv1.RayCluster) {
	i := slices.IndexFunc(clusters, func(c rayv1.RayCluster) bool { return c.Name == r.name })
	if i < 0 {
		r.set("", r.absent())
		return
	}
	r.set(r.dashboard(&clusters[i]))
}

// Address is the dashboard's URL as of the last event, or of a look at the
// object when Run has not had one. Errors: ErrNotReady, or the API server's.
func (r *RayCluster) Address(ctx context.Context) (string, error) {
	r.mu.Lock()
	known, address, err := r.known, r.address, r.err
	r.mu.Unlock()
	if known {
		return address, err
	}
	cluster, err := r.client.RayV1().RayClusters(r.namespace).Get(ctx, r.name, metav1.GetOptions{})
	if err != nil {
		return "", r.explain(err)
	}
	return r.dashboard(cluster)
}

// Changed holds a token when the address or the reason for having none changed.
func (r *RayCluster) Changed() <-chan struct{} { return r.changed }

func (r *RayCluster) set(address string, err error) {
	r.mu.Lock()
	same := r.known && r.address == address && errorText(r.err) == errorText(err)
	r.known, r.address, r.err = true, address, err
	r.mu.Unlock()
	if same {
		return
	}
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// dashboard reads the address from the object's status. It takes an IP rather
// than the service's name: that needs no cluster DNS where this program runs, and
// a change of it is followed.
func (r *RayCluster) dashboard(cluster *rayv1.RayCluster) (string, error) {
	status := cluster.Status
	if cluster.DeletionTimestamp != nil {
		return "", fmt.Errorf("%s/%s: %w: it is being deleted", r.namespace, r.name, ErrNotReady)
	}
	if why := headNotReady(status); why != "" {
		return "", fmt.Errorf("%s/%s: %w: %s: see kubectl -n %s describe raycluster %s", r.namespace, r.name, ErrNotReady, why, r.namespace, r.name)
	}
	host := status.Head.ServiceIP
	if host == "" || host == "None" {
		host = status.Head.PodIP
	}
	if host == "" {
		return "", fmt.Errorf("%s/%s: %w: its status names no address of the head yet", r.namespace, r.name, ErrNotReady)
	}
	port := cmp.Or(status.Endpoints[dashboardEndpoint], defaultDashboardPort)
	return "http://" + net.JoinHostPort(host, port), nil
}

// headNotReady says why the head is not ready. KubeRay sets the condition since 1.3.
func headNotReady(status rayv1.RayClusterStatus) string {
	condition := meta.FindStatusCondition(status.Conditions, string(rayv1.HeadPodReady))
	switch {
	case condition == nil:
		return "its status has no condition HeadPodReady yet"
	case condition.Status != metav1.ConditionTrue:
		return fmt.Sprintf("its head is not ready (%s: %s)", condition.Reason, condition.Message)
	default:
		return ""
	}
}

func (r *RayCluster) absent() error {
	return fmt.Errorf("%s/%s: %w: there is no such RayCluster: create it, or correct --raycluster", r.namespace, r.name, ErrNotReady)
}

func (r *RayCluster) explain(err error) error {
	if apierrors.IsNotFound(err) {
		return r.absent()
	}
	if apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) {
		return fmt.Errorf("RayCluster %s/%s: %w: the account needs get, list and watch on rayclusters.ray.io", r.namespace, r.name, err)
	}
	return fmt.Errorf("RayCluster %s/%s: the Kubernetes API cannot say: %w", r.namespace, r.name, err)
}

func splitRef(ref string) (namespace, name string, err error) {
	namespace, name, ok := strings.Cut(ref, "/")
	if !ok || namespace == "" || name == "" || strings.Contains(name, "/") {
		return "", "", fmt.Errorf("--raycluster %q: %w: want NAMESPACE/NAME", ref, ErrAddress)
	}
	return namespace, name, nil
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
