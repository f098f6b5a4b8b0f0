package ray

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/ray-project/kuberay/ray-operator/pkg/client/clientset/versioned"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// podToken is where Kubernetes puts the token of a pod's service account.
const podToken = "/var/run/secrets/kubernetes.io/serviceaccount/token"

// probeTimeout bounds the question whether the pods' network is reached from here.
const probeTimeout = 2 * time.Second

// Target names what is followed in Kubernetes: a RayCluster, or a RayService, whose
// active cluster counts.
type Target struct {
	Namespace string
	// Cluster or Service is empty.
	Cluster, Service string
}

// ClusterTarget reads the value of --raycluster. Errors: ErrAddress.
func ClusterTarget(ref string) (Target, error) {
	namespace, name, err := splitRef("--raycluster", ref)
	return Target{Namespace: namespace, Cluster: name}, err
}

// ServiceTarget reads the value of --rayservice. Errors: ErrAddress.
func ServiceTarget(ref string) (Target, error) {
	namespace, name, err := splitRef("--rayservice", ref)
	return Target{Namespace: namespace, Service: name}, err
}

// flag is the one that names the target.
func (t Target) flag() string {
	if t.Service != "" {
		return "--rayservice"
	}
	return "--raycluster"
}

func (t Target) String() string {
	if t.Service != "" {
		return "RayService " + t.Namespace + "/" + t.Service
	}
	return "RayCluster " + t.Namespace + "/" + t.Cluster
}

func splitRef(flag, ref string) (namespace, name string, err error) {
	namespace, name, ok := strings.Cut(ref, "/")
	if !ok || namespace == "" || name == "" || strings.Contains(name, "/") {
		return "", "", fmt.Errorf("%s %q: %w: want NAMESPACE/NAME", flag, ref, ErrAddress)
	}
	return namespace, name, nil
}

// Kube is how Kubernetes and what runs in it are reached.
type Kube struct {
	Rays    versioned.Interface
	Secrets corev1.SecretsGetter
	// Bearer is the token of this program's account, read again each time, for Ray
	// clusters that ask Kubernetes; nil: the account has none.
	Bearer func() (string, error)
	// Token is that of the environment (TokenFromEnv). It stands in for a Secret that
	// cannot be had; empty: there is none.
	Token string
	// Proxy and ProxyURL lead through the API server to services, for a program that
	// runs outside the pods' network; nil: it runs inside.
	Proxy    http.RoundTripper
	ProxyURL string
	// Dial asks whether an address is reached directly; nil: a TCP connection tells.
	Dial func(ctx context.Context, address string) error
}

// DialKube takes the credentials of KUBECONFIG, ~/.kube/config or the pod, and the
// token of the environment. Errors: what the configuration says.
func DialKube(token string) (Kube, error) {
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		clientcmd.NewDefaultClientConfigLoadingRules(), nil).ClientConfig()
	if err != nil {
		return Kube{}, fmt.Errorf("%w: set KUBECONFIG, or run in a pod with a service account that may get, list and watch rayclusters", err)
	}
	k := Kube{Token: token, Bearer: bearerOf(config)}
	if k.Rays, err = versioned.NewForConfig(config); err != nil {
		return Kube{}, err
	}
	if k.Secrets, err = corev1.NewForConfig(config); err != nil {
		return Kube{}, err
	}
	if config.BearerTokenFile == podToken {
		return k, nil
	}
	transport, err := rest.TransportFor(config)
	if err != nil {
		return Kube{}, err
	}
	host, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return Kube{}, err
	}
	k.ProxyURL, k.Proxy = strings.TrimRight(host.String(), "/"), &apiProxy{next: transport}
	return k, nil
}

// bearerOf reads the account's token each time: that of a pod is rotated.
func bearerOf(config *rest.Config) func() (string, error) {
	return func() (string, error) {
		if config.BearerTokenFile != "" {
			token, err := os.ReadFile(config.BearerTokenFile)
			return strings.TrimSpace(string(token)), err
		}
		if config.BearerToken == "" {
			return "", errors.New("the account of the kubeconfig logs in without a bearer token")
		}
		return config.BearerToken, nil
	}
}

// dial connects once to an address and hangs up.
func dial(ctx context.Context, address string) error {
	d := net.Dialer{Timeout: probeTimeout}
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return conn.Close()
}
