package ray

import (
	"errors"
	"strings"
	"testing"
)

// diskFull is Ray 2.60's answer to a job where its log cannot be written.
var diskFull = "Traceback (most recent call last):\n" +
	"  File \"/venv/ray/dashboard/modules/job/job_head.py\", line 419, in submit_job\n    resp = await job_agent_client.submit_job_internal(submit_request)\n           ^^^^^^^^\n" +
	"RuntimeError: Request failed with status code 500: Traceback (most recent call last):\n" +
	strings.Repeat("  File \"/venv/ray/dashboard/modules/job/job_agent.py\", line 45, in submit_job\n    submission_id = await self.get_job_manager().submit_job(\n", 30) +
	"OSError: [Errno 28] No space left on device\n.\n"

func TestRefusals(t *testing.T) {
	tests := []struct {
		name  string
		setUp func(f *fakeRay)
		token string
		is    error
		has   string
	}{
		{"nothing there", func(f *fakeRay) { f.down = true }, "", ErrUnreachable, "--ray-address"},
		{"a token is wanted", func(f *fakeRay) { f.token = "secret" }, "", ErrUnauthorized, "RAY_AUTH_TOKEN"},
		{"another token is wanted", func(f *fakeRay) { f.token = "secret" }, "wrong", ErrUnauthorized, "RAY_AUTH_TOKEN"},
		{"500 with JSON", func(f *fakeRay) { f.refuse, f.body = 500, `{"status": "RUNNING"}` }, "", ErrRefused, "500"},
		{"500 with a traceback", func(f *fakeRay) { f.refuse, f.body = 500, diskFull }, "", ErrRefused, "500 Internal Server Error: OSError: [Errno 28] No space left on device"},
		{"something else answers", func(f *fakeRay) { f.refuse, f.body = 200, "<html>" }, "", ErrNotRay, "http://ray:8265"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFakeRay()
			test.setUp(f)
			c := newClient(Endpoint{URL: "http://ray:8265"}, test.token, f)
			_, check := c.check(t.Context())
			_, list := c.list(t.Context())
			_, job := c.job(t.Context(), "x")
			for what, err := range map[string]error{"check": check, "list": list, "job": job, "forget": c.forget(t.Context(), "x")} {
				if what == "forget" && errors.Is(test.is, ErrNotRay) {
					continue // it reads no answer
				}
				if !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.has) || strings.Contains(err.Error(), "secret") {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
	f := newFakeRay()
	f.token = "secret"
	if _, err := newClient(Endpoint{URL: "http://ray:8265"}, "secret", f).list(t.Context()); err != nil {
		t.Errorf("the right token: %v", err)
	}
}
