package app

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"dynctl/actors"
	"dynctl/events"
	"dynctl/state"
	"dynctl/state/kv"
)

// dyingJobs answers as Ray's dashboard does whose jobs all end at once.
func dyingJobs(log string) http.Handler {
	var mu sync.Mutex
	var jobs []map[string]any
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, v any) { _ = json.NewEncoder(w).Encode(v) }
	mux.HandleFunc("/api/packages/gcs/", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /api/jobs/{$}", func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		answer(w, append([]map[string]any{}, jobs...))
	})
	mux.HandleFunc("POST /api/jobs/{$}", func(w http.ResponseWriter, r *http.Request) {
		var job map[string]any
		if json.NewDecoder(r.Body).Decode(&job) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		job["status"], job["message"], job["start_time"] = "FAILED", "Job entrypoint command failed with exit code 1", time.Now().UnixMilli()
		mu.Lock()
		defer mu.Unlock()
		jobs = append(jobs, job)
		answer(w, map[string]any{"job_id": job["submission_id"], "submission_id": job["submission_id"]})
	})
	mux.HandleFunc("GET /api/jobs/{id}/logs", func(w http.ResponseWriter, _ *http.Request) { answer(w, map[string]string{"logs": log}) })
	mux.HandleFunc("/api/jobs/{id}", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		for _, job := range jobs {
			if job["submission_id"] == r.PathValue("id") {
				answer(w, job)
				return
			}
		}
		w.WriteHeader(http.StatusNotFound)
	})
	return mux
}

// TestAgentFailing: a job that ends each time is told everywhere, with the line of its
// log that says why and what to do.
func TestAgentFailing(t *testing.T) {
	ray := httptest.NewServer(dyingJobs("Traceback (most recent call last):\n  File \"agent.py\", line 1\nRecursionError: maximum recursion depth exceeded\n"))
	t.Cleanup(ray.Close)
	r := &rig{tb: t}
	r.start(ray.URL)
	js := r.connect()
	r.client = kv.New(js)
	r.eventually("the buckets are there", func() bool { _, err := r.client.ListSpecs(t.Context()); return err == nil })
	r.put("model.default.m", "apiVersion: dynctl/v1alpha1\nkind: Model\nmetadata: {name: m}\nspec: {model: acme/m, engine: mocker, resources: {gpus: 1}}\n")

	const cause = "the agent's job ended (FAILED): RecursionError: maximum recursion depth exceeded"
	r.eventually("/readyz says it", func() bool {
		code, text, checks := r.readyzOf()
		return code == 503 && strings.Contains(text, "agent: AgentFailing: "+cause) && strings.Contains(text, "3.10 to 3.14") && checks["agent"].State == checkFailed
	})
	r.eventually("the lease says it, for dynctl doctor", func() bool {
		lease, err := r.client.GetLeader(t.Context())
		return err == nil && lease.AgentFailure != nil && lease.AgentFailure.Message == cause && lease.AgentFailure.Job != ""
	})
	r.eventually("the status says it", func() bool {
		s, err := r.client.GetStatus(t.Context(), state.ModelKey("default", "m"))
		c, _ := s.Condition(state.CondReady)
		return err == nil && c.Reason == actors.WaitAgentFailing && strings.Contains(c.Message, cause)
	})
	if in := r.app.opsInput(); in.AgentFailure == nil {
		t.Error("the ops page is not told")
	}
	told := 0
	for _, e := range storedEvents(t, js, events.TypeAgentLost) {
		if e.Data.Reason == actors.WaitAgentFailing && strings.HasPrefix(e.Data.Message, cause) {
			told++
		}
	}
	if told != 1 {
		t.Errorf("an event tells it %d times, want once for each cause", told)
	}
}

// TestRayTokenRefused: a trouble of the Ray cluster is told where an agent that does not
// stay is, under its own reason.
func TestRayTokenRefused(t *testing.T) {
	ray := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "Forbidden: Invalid authentication token", http.StatusForbidden)
	}))
	t.Cleanup(ray.Close)
	r := &rig{tb: t}
	r.start(ray.URL)
	js := r.connect()
	r.client = kv.New(js)
	r.eventually("the buckets are there", func() bool { _, err := r.client.ListSpecs(t.Context()); return err == nil })
	r.put("model.default.m", "apiVersion: dynctl/v1alpha1\nkind: Model\nmetadata: {name: m}\nspec: {model: acme/m, engine: mocker, resources: {gpus: 1}}\n")

	r.eventually("/readyz says it", func() bool {
		code, text, _ := r.readyzOf()
		return code == 503 && strings.Contains(text, "agent: RayTokenRefused: ") && strings.Contains(text, "RAY_AUTH_TOKEN")
	})
	r.eventually("the lease says it, for dynctl doctor", func() bool {
		lease, err := r.client.GetLeader(t.Context())
		return err == nil && lease.AgentFailure != nil && lease.AgentFailure.Reason == actors.RayTokenRefused
	})
	r.eventually("the status says it", func() bool {
		s, err := r.client.GetStatus(t.Context(), state.ModelKey("default", "m"))
		c, _ := s.Condition(state.CondReady)
		return err == nil && c.Reason == actors.RayTokenRefused
	})
	r.eventually("an event tells it", func() bool {
		for e, err := range events.Tail(t.Context(), js, events.TailOptions{FromSeq: 1}) {
			if err == nil && e.Type == events.TypeAgentLost && e.Data.Reason == actors.RayTokenRefused {
				return true
			}
		}
		return false
	})
}

// storedEvents are all of a type that the stream has.
func storedEvents(t *testing.T, js jetstream.JetStream, typ string) (out []events.Event) {
	t.Helper()
	for e, err := range events.Tail(t.Context(), js, events.TailOptions{FromSeq: 1}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Type == typ {
			out = append(out, e)
		}
	}
	return out
}
