package ray

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	rayv1 "github.com/ray-project/kuberay/ray-operator/apis/ray/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dynctl/actors"
	"dynctl/state"
)

const (
	secretKey = "auth_token"
	// checkedLength is how much of a cluster's name KubeRay keeps, its end.
	checkedLength = 50
	// probeAgain is how long an address that was not reached is left alone.
	probeAgain = time.Minute
)

// hasToken reports whether the cluster's authentication wants a token.
func hasToken(c *rayv1.RayCluster) bool {
	return c.Spec.AuthOptions != nil && c.Spec.AuthOptions.Mode == rayv1.AuthModeToken && !asksKubernetes(c)
}

// asksKubernetes reports whether the cluster takes the tokens of accounts.
func asksKubernetes(c *rayv1.RayCluster) bool {
	auth := c.Spec.AuthOptions
	return auth != nil && auth.Mode == rayv1.AuthModeToken && auth.EnableK8sTokenAuth != nil && *auth.EnableK8sTokenAuth
}

// secretOf is the Secret that holds the cluster's token.
func secretOf(c *rayv1.RayCluster) string {
	if auth := c.Spec.AuthOptions; auth != nil && auth.SecretName != nil && *auth.SecretName != "" {
		return *auth.SecretName
	}
	return checkedName(c.Name)
}

// checkedName is the name that KubeRay makes of a cluster's for its Secret.
func checkedName(name string) string {
	if len(name) > checkedLength {
		name = name[len(name)-checkedLength:]
	}
	if first := rune(name[0]); unicode.IsDigit(first) || unicode.IsPunct(first) {
		name = "r" + name[1:]
	}
	return name
}

// token is what the cluster's authentication wants, and where it was read; empty
// where it wants none. kube may be nil: then nothing but the objects counts.
func (v view) token(kube *Kube) (token, from string, err error) {
	c := v.cluster.object
	switch {
	case asksKubernetes(c):
		if kube == nil {
			return "", "", nil
		}
		return kube.accountToken(c)
	case !hasToken(c):
		return "", "", nil
	}
	from = "Secret " + c.Namespace + "/" + secretOf(c)
	missing := &clusterError{actors.RayTokenMissing, "", "", ErrUnauthorized}
	switch s := v.secret; {
	case apierrors.IsForbidden(s.err), apierrors.IsUnauthorized(s.err):
		missing.what, missing.way = from+" cannot be read: "+s.err.Error(), "the account needs get, list and watch on this Secret"
	case s.err != nil:
		missing.what, missing.way = from+" cannot be read: "+s.err.Error(), "see that the Kubernetes API is reached from here"
	case s.object == nil:
		missing.what, missing.way = from+" does not exist", "create it with the key "+secretKey+", or correct spec.authOptions.secretName of the RayCluster"
	default:
		if token := strings.TrimSpace(string(s.object.Data[secretKey])); token != "" {
			return token, from, nil
		}
		missing.what, missing.way = from+" has nothing under the key "+secretKey, "put the cluster's token there"
	}
	if kube != nil && kube.Token != "" { // as before the Secret was read
		return kube.Token, "RAY_AUTH_TOKEN", nil
	}
	return "", "", missing
}

// accountToken is the token of this program's own account.
func (k *Kube) accountToken(c *rayv1.RayCluster) (token, from string, err error) {
	from = "this program's service account"
	if k.Bearer != nil {
		token, err = k.Bearer()
	}
	if token != "" && err == nil {
		return token, from, nil
	}
	if k.Token != "" {
		return k.Token, "RAY_AUTH_TOKEN", nil
	}
	what := fmt.Sprintf("RayCluster %s/%s takes the tokens of Kubernetes accounts, and there is none", c.Namespace, c.Name)
	if err != nil {
		what += " (" + err.Error() + ")"
	}
	return "", "", &clusterError{actors.RayTokenMissing, what,
		"run in a pod with a service account that has the verb ray:write on the RayCluster, or pass such a token as RAY_AUTH_TOKEN (kubectl create token ACCOUNT)", ErrUnauthorized}
}

// way is how an address was found to be reached.
type way struct {
	address string
	direct  bool
	at      time.Time
}

// endpoint adds the token and the way to what the objects say.
func (r *RayCluster) endpoint(ctx context.Context, v view, d dashboard) (Endpoint, error) {
	token, from, err := v.token(&r.kube)
	if err != nil {
		return Endpoint{}, err
	}
	e := Endpoint{URL: "http://" + d.address, Token: token, TokenFrom: from, Notice: d.notice}
	if r.kube.Proxy == nil || d.service == "" || r.direct(ctx, d.address) {
		return e, nil
	}
	e.URL = fmt.Sprintf("%s/api/v1/namespaces/%s/services/%s:%s/proxy", r.kube.ProxyURL,
		url.PathEscape(r.target.Namespace), url.PathEscape(d.service), dashboardEndpoint)
	e.Proxy = r.kube.Proxy
	if e.Notice == (state.RayNotice{}) {
		e.Notice = state.RayNotice{
			Reason: actors.RayClusterOutside,
			Message: fmt.Sprintf("%s is not reached from here, so Ray is asked through the Kubernetes API; etcd and the frontends are not reached that way, "+
				"so what is registered and served stays unknown", d.address),
			Way: "run the reconciler in the Kubernetes cluster (docs/kubernetes.md)",
		}
	}
	return e, nil
}

// direct reports whether an address is reached without the API server. Once it was,
// it counts as reached; else it is asked again after a while.
func (r *RayCluster) direct(ctx context.Context, address string) bool {
	r.mu.Lock()
	known := r.way
	r.mu.Unlock()
	if known.address == address && (known.direct || time.Since(known.at) < probeAgain) {
		return known.direct
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	err := r.kube.Dial(ctx, address)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.way = way{address, err == nil, time.Now()}
	return r.way.direct
}

// apiProxy is the way through the API server. What that refuses itself becomes an
// error: its 404 is none of Ray's, which would say that a job is gone.
type apiProxy struct{ next http.RoundTripper }

func (p *apiProxy) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := p.next.RoundTrip(req)
	if err != nil || resp.StatusCode < http.StatusBadRequest || !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		return resp, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	if err != nil {
		_ = resp.Body.Close() // there is nothing in it
		return nil, err
	}
	var status metav1.Status
	if json.Unmarshal(body, &status) == nil && status.Kind == "Status" && status.APIVersion == "v1" {
		_ = resp.Body.Close() // what matters has been read
		what := "the Kubernetes API does not pass requests on to the dashboard: " + cmp.Or(status.Message, resp.Status)
		if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden {
			return nil, &clusterError{actors.KubernetesUnreadable, what, "the account needs get, create, update and delete on services/proxy", ErrUnreachable}
		}
		return nil, fmt.Errorf("%w: %s", ErrUnreachable, what)
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(body), resp.Body), resp.Body}
	return resp, nil
}
