package ray

import (
	"context"
	"sync"
	"time"

	rayv1 "github.com/ray-project/kuberay/ray-operator/apis/ray/v1"
	corev1 "k8s.io/api/core/v1"
)

// RayCluster is the dashboard of a RayCluster in Kubernetes, wherever KubeRay puts
// its head, or of the active cluster of a RayService.
type RayCluster struct {
	target  Target
	kube    Kube
	changed chan struct{}
	moved   chan struct{} // the name of something that is followed has changed
	running chan struct{} // holds a token while Run follows

	services kind[rayv1.RayService, *rayv1.RayServiceList]
	clusters kind[rayv1.RayCluster, *rayv1.RayClusterList]
	secrets  kind[corev1.Secret, *corev1.SecretList]

	mu   sync.Mutex
	view view
	told string // what Changed has told of last
	way  way
}

// NewRayCluster follows a target.
func NewRayCluster(kube Kube, target Target) *RayCluster {
	if kube.Dial == nil {
		kube.Dial = dial
	}
	services, clusters := kube.Rays.RayV1().RayServices(target.Namespace), kube.Rays.RayV1().RayClusters(target.Namespace)
	secrets := kube.Secrets.Secrets(target.Namespace)
	return &RayCluster{
		target: target, kube: kube, changed: make(chan struct{}, 1), moved: make(chan struct{}, 1), running: make(chan struct{}, 1),
		services: kind[rayv1.RayService, *rayv1.RayServiceList]{services.Get, services.List, services.Watch},
		clusters: kind[rayv1.RayCluster, *rayv1.RayClusterList]{clusters.Get, clusters.List, clusters.Watch},
		secrets:  kind[corev1.Secret, *corev1.SecretList]{secrets.Get, secrets.List, secrets.Watch},
	}
}

// view is what is known of the objects that lead to a dashboard.
type view struct {
	service seen[rayv1.RayService]
	cluster seen[rayv1.RayCluster]
	secret  seen[corev1.Secret]
}

// clusterName is the RayCluster that counts; empty: none is known yet.
func (v view) clusterName(t Target) string {
	switch {
	case t.Service == "":
		return t.Cluster
	case v.service.object == nil:
		return ""
	}
	return v.service.object.Status.ActiveServiceStatus.RayClusterName
}

// secretName is the Secret with the cluster's token; empty: it has none, or that is
// not known yet.
func (v view) secretName() string {
	if v.cluster.object == nil || !hasToken(v.cluster.object) {
		return ""
	}
	return secretOf(v.cluster.object)
}

// complete reports whether every object that is needed has been asked for.
func (v view) complete(t Target) bool {
	return (t.Service == "" || v.service.known) &&
		(v.clusterName(t) == "" || v.cluster.known) &&
		(v.secretName() == "" || v.secret.known)
}

// Run watches the objects until the context ends. It waits for another Run to end, as
// that of a term before.
func (r *RayCluster) Run(ctx context.Context) error {
	select {
	case r.running <- struct{}{}:
		defer func() { <-r.running }()
	case <-ctx.Done():
		return nil
	}
	defer r.see(func(v *view) { *v = view{} }) // whoever asks later looks for himself
	var all sync.WaitGroup
	defer all.Wait()
	if r.target.Service != "" {
		all.Go(func() {
			r.services.follow(ctx, r.target.Service, func(s seen[rayv1.RayService]) {
				r.see(func(v *view) { v.service = s })
			})
		})
	}
	cluster, secret := &pursuit{}, &pursuit{}
	for {
		r.mu.Lock()
		clusterName, secretName := r.view.clusterName(r.target), r.view.secretName()
		r.mu.Unlock()
		cluster.turn(ctx, &all, clusterName, func(ctx context.Context) {
			r.clusters.follow(ctx, clusterName, func(s seen[rayv1.RayCluster]) { r.seeCluster(clusterName, s) })
		})
		secret.turn(ctx, &all, secretName, func(ctx context.Context) {
			r.secrets.follow(ctx, secretName, func(s seen[corev1.Secret]) { r.seeSecret(secretName, s) })
		})
		select {
		case <-ctx.Done():
			cluster.end()
			secret.end()
			return nil
		case <-r.moved:
		}
	}
}

// seeCluster and seeSecret take what a follower tells, which may be one whose object
// counts no more.
func (r *RayCluster) seeCluster(name string, s seen[rayv1.RayCluster]) {
	r.see(func(v *view) {
		if v.clusterName(r.target) == name {
			v.cluster = s
		}
	})
}

func (r *RayCluster) seeSecret(name string, s seen[corev1.Secret]) {
	r.see(func(v *view) {
		if v.secretName() == name {
			v.secret = s
		}
	})
}

// see takes a change of the view. What was known of an object that no longer counts
// is forgotten.
func (r *RayCluster) see(change func(*view)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	cluster, secret := r.view.clusterName(r.target), r.view.secretName()
	change(&r.view)
	if r.view.clusterName(r.target) != cluster {
		r.view.cluster = seen[rayv1.RayCluster]{}
	}
	if r.view.secretName() != secret {
		r.view.secret = seen[corev1.Secret]{}
	}
	if r.view.clusterName(r.target) != cluster || r.view.secretName() != secret {
		wake(r.moved)
	}
	if !r.view.complete(r.target) {
		return
	}
	if now := r.view.fingerprint(r.target); now != r.told {
		r.told = now
		wake(r.changed)
	}
}

// Changed holds a token when the answer of Endpoint, or the reason for having none,
// has changed.
func (r *RayCluster) Changed() <-chan struct{} { return r.changed }

// Endpoint is the way to the dashboard as of the last events, or of a look at the
// objects when Run has not had them all. Errors: ErrNotReady, ErrUnauthorized, or the
// API server's.
func (r *RayCluster) Endpoint(ctx context.Context) (Endpoint, error) {
	r.mu.Lock()
	v := r.view
	r.mu.Unlock()
	if !v.complete(r.target) {
		v = r.look(ctx)
	}
	d, err := v.dashboard(r.target)
	if err != nil {
		return Endpoint{}, err
	}
	return r.endpoint(ctx, v, d)
}

// lookTimeout bounds the questions of one look.
const lookTimeout = 5 * time.Second

// look asks for the objects, one after the other.
func (r *RayCluster) look(ctx context.Context) view {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	var v view
	if r.target.Service != "" {
		v.service = r.services.look(ctx, r.target.Service)
	}
	if name := v.clusterName(r.target); name != "" {
		v.cluster = r.clusters.look(ctx, name)
	}
	if name := v.secretName(); name != "" {
		v.secret = r.secrets.look(ctx, name)
	}
	return v
}

// pursuit is the following of an object whose name may change.
type pursuit struct {
	name   string
	cancel context.CancelFunc
}

// turn follows name from now on; empty: nothing.
func (p *pursuit) turn(ctx context.Context, all *sync.WaitGroup, name string, follow func(context.Context)) {
	if p.name == name {
		return
	}
	p.end()
	p.name = name
	if name == "" {
		return
	}
	ctx, p.cancel = context.WithCancel(ctx)
	all.Go(func() { follow(ctx) })
}

func (p *pursuit) end() {
	if p.cancel != nil {
		p.cancel()
	}
	p.name, p.cancel = "", nil
}
