package ray

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ray-project/kuberay/ray-operator/controllers/ray/utils/dashboardclient"
	utiltypes "github.com/ray-project/kuberay/ray-operator/controllers/ray/utils/types"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// The bounds of one request to the dashboard. A head under load answers in a
// second or two.
const (
	requestTimeout = 10 * time.Second
	submitTimeout  = 30 * time.Second // a new head waits for its own agent first
	uploadTimeout  = 60 * time.Second
	maxErrorBody   = 2 << 10  // bytes of a refusal that are shown
	maxErrorRead   = 64 << 10 // bytes that are read of one: what it comes to is at the end of a traceback
)

// TokenFromEnv is the cluster's token as Ray's own programs find it: RAY_AUTH_TOKEN,
// the file that RAY_AUTH_TOKEN_PATH names, or ~/.ray/auth_token. With RAY_AUTH_MODE
// unset one that is there counts, since a cluster that is started beside it wants
// it; with another mode than "token" none does. Errors: ErrUnauthorized when the
// mode is "token" and there is none of them.
func TokenFromEnv() (string, error) {
	mode, set := os.LookupEnv("RAY_AUTH_MODE")
	if set && !strings.EqualFold(mode, "token") {
		return "", nil
	}
	token, err := readToken()
	if err != nil && !set {
		return "", nil
	}
	return token, err
}

func readToken() (string, error) {
	if token := strings.TrimSpace(os.Getenv("RAY_AUTH_TOKEN")); token != "" {
		return token, nil
	}
	path := os.Getenv("RAY_AUTH_TOKEN_PATH")
	if path == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("%w: RAY_AUTH_MODE=token without RAY_AUTH_TOKEN, and %w", ErrUnauthorized, err)
		}
		path = filepath.Join(home, ".ray", "auth_token")
	}
	token, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("%w: RAY_AUTH_MODE=token, but RAY_AUTH_TOKEN is empty and %w", ErrUnauthorized, err)
	}
	return strings.TrimSpace(string(token)), nil
}

// client talks to one dashboard: KubeRay's client for jobs, and plain requests
// for what that one lacks.
type client struct {
	address string
	http    *http.Client
	jobs    dashboardclient.RayDashboardClient
}

// newClient takes the token and the transport that count where the endpoint has none
// of its own.
func newClient(way Endpoint, token string, transport http.RoundTripper) *client {
	auth := &dashboardTransport{header: "Authorization", token: cmp.Or(way.Token, token), next: transport}
	if way.Transport != nil {
		auth.next = way.Transport
	}
	if way.Proxy != nil {
		auth.header, auth.next = "X-Ray-Authorization", way.Proxy
	}
	c := &client{address: way.URL, http: &http.Client{Transport: auth}}
	c.jobs.InitClient(c.http, way.URL, "")
	return c
}

// dashboardTransport turns every refusal into a StatusError before a caller sees
// the answer: KubeRay's client does not look at the status of a deletion, and
// takes a JSON body with status 500 for a job.
type dashboardTransport struct {
	header, token string // the header that carries the token; no token: none does
	next          http.RoundTripper
}

func (t *dashboardTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if t.token != "" {
		req = req.Clone(req.Context())
		req.Header.Set(t.header, "Bearer "+t.token)
	}
	resp, err := t.next.RoundTrip(req)
	if err != nil || resp.StatusCode < 300 || resp.StatusCode == http.StatusNotFound {
		return resp, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorRead))
	_ = resp.Body.Close() // what matters has been read
	if err != nil {
		return nil, err
	}
	return nil, &StatusError{Method: req.Method, Path: req.URL.Path, Code: resp.StatusCode, Body: strings.TrimSpace(string(body))}
}

// explain says which of the documented errors a failed request is.
func (c *client) explain(what string, err error) error {
	var transport *url.Error
	var cluster *clusterError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &cluster):
		return fmt.Errorf("%s: %w", what, cluster)
	case errors.As(err, new(*StatusError)):
		var status *StatusError
		errors.As(err, &status)
		return fmt.Errorf("%s: %w", what, status)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%s: %w", what, context.Canceled)
	case errors.As(err, new(*tls.CertificateVerificationError)):
		var refused *tls.CertificateVerificationError
		errors.As(err, &refused)
		return fmt.Errorf("%s: %w at %s (%w): %s", what, ErrUntrusted, c.address, refused.Err, wayUntrusted)
	case errors.As(err, &transport):
		return fmt.Errorf("%s: %w at %s (%w): start Ray, or pass --ray-address", what, ErrUnreachable, c.address, transport.Err)
	default:
		return fmt.Errorf("%s at %s: %w: %w", what, c.address, ErrNotRay, err)
	}
}

// get decodes a JSON answer.
func (c *client) get(ctx context.Context, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	what := "ask Ray for " + path
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.address+path, http.NoBody)
	if err != nil {
		return fmt.Errorf("%s: %w: %w", what, ErrAddress, err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.explain(what, err)
	}
	defer func() { _ = resp.Body.Close() }() // read below
	if resp.StatusCode == http.StatusNotFound {
		return fmt.Errorf("%s at %s: %w: it answers 404: see that --ray-address names the dashboard's port (8265)", what, c.address, ErrNotRay)
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return c.explain(what, err)
	}
	return nil
}

// upload puts a package into Ray's store unless it is there; made reports whether it was
// not. Asking for it also keeps Ray from collecting it for the next ten minutes. content
// is only asked for when it is needed.
func (c *client) upload(ctx context.Context, what, name string, content func() ([]byte, error)) (made bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, uploadTimeout)
	defer cancel()
	target := c.address + "/api/packages/gcs/" + name
	for _, method := range []string{http.MethodGet, http.MethodPut} {
		var body io.Reader = http.NoBody
		if method == http.MethodPut {
			packed, err := content()
			if err != nil {
				return false, fmt.Errorf("%s: %w", what, err)
			}
			body = bytes.NewReader(packed)
		}
		req, err := http.NewRequestWithContext(ctx, method, target, body)
		if err != nil {
			return false, fmt.Errorf("%s: %w: %w", what, ErrAddress, err)
		}
		resp, err := c.http.Do(req)
		if err != nil {
			return false, c.explain(what, err)
		}
		_, _ = io.Copy(io.Discard, resp.Body) // only for the connection to be used again
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			return method == http.MethodPut, nil
		}
	}
	return false, fmt.Errorf("%s: %w: %s answers 404 to an upload", what, ErrNotRay, c.address)
}

func (c *client) submit(ctx context.Context, req utiltypes.RayJobRequest) error {
	ctx, cancel := context.WithTimeout(ctx, submitTimeout)
	defer cancel()
	_, err := c.jobs.SubmitJobReq(ctx, &req)
	if status := new(StatusError); errors.As(err, &status) && strings.Contains(status.Body, "different submission_id") {
		return nil // the same request, sent again after its answer was lost
	}
	return c.explain("submit the agent's job", err)
}

// job is ErrNoJob for one that Ray does not know.
func (c *client) job(ctx context.Context, id string) (utiltypes.RayJobInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	info, err := c.jobs.GetJobInfo(ctx, id)
	if apierrors.IsBadRequest(err) {
		return utiltypes.RayJobInfo{}, fmt.Errorf("job %s at %s: %w", id, c.address, ErrNoJob)
	}
	if err != nil {
		return utiltypes.RayJobInfo{}, c.explain("ask for job "+id, err)
	}
	return *info, nil
}

func (c *client) list(ctx context.Context) ([]utiltypes.RayJobInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	jobs, err := c.jobs.ListJobs(ctx)
	if err != nil {
		return nil, c.explain("list the jobs", err)
	}
	if jobs == nil {
		return nil, fmt.Errorf("list the jobs at %s: %w: it answers 404: see that --ray-address names the dashboard's port (8265)", c.address, ErrNotRay)
	}
	return *jobs, nil
}

// stop asks a job to end. One that has ended or is not known is a success.
func (c *client) stop(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if _, err := c.job(ctx, id); errors.Is(err, ErrNoJob) {
		return nil
	}
	return c.explain("stop job "+id, c.jobs.StopJob(ctx, id))
}

// forget removes the record of a job that has ended.
func (c *client) forget(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return c.explain("remove job "+id, c.jobs.DeleteJob(ctx, id))
}
