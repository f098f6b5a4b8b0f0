package ray

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	utiltypes "github.com/ray-project/kuberay/ray-operator/controllers/ray/utils/types"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeRay answers as Ray 2.60's dashboard does, without a network, so that time
// in a test is the test's.
type fakeRay struct {
	mu       sync.Mutex
	packages map[string][]byte
	jobs     map[string]*fakeJob
	order    []string // submission ids, as submitted
	down     bool
	hangs    bool // it takes requests and answers none
	refuse   int  // a status for every request; 0: none
	body     string
	token    string // wanted; "": none
	pending  string // Ray's message about the jobs that it does not start; "": it starts them
	// dropAnswer loses the answer to the next submission, not the submission.
	dropAnswer  bool
	deleted     []string
	incarnation uint64 // the highest that a job has taken
	// onSubmit and onStop are what a job does then; nil: it is in charge at once unless it is
	// to stand by, and ends at once.
	onSubmit, onStop func(id string, j *fakeJob)
}

type fakeJob struct {
	info  utiltypes.RayJobInfo
	muted bool
	dead  bool // its process has ended, and Ray does not know yet
	log   string
	inc   uint64 // 0: it stands by
}

func newFakeRay() *fakeRay {
	return &fakeRay{packages: map[string][]byte{}, jobs: map[string]*fakeJob{}}
}

func (f *fakeRay) RoundTrip(req *http.Request) (*http.Response, error) {
	f.mu.Lock()
	hangs := f.hangs
	f.mu.Unlock()
	if hangs {
		<-req.Context().Done()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	if f.down {
		return nil, errors.New("connect: connection refused")
	}
	w := httptest.NewRecorder()
	switch {
	case f.refuse != 0:
		w.WriteHeader(f.refuse)
		_, _ = w.WriteString(f.body)
	case f.token != "" && req.Header.Get("Authorization") != "Bearer "+f.token:
		w.WriteHeader(http.StatusUnauthorized)
	default:
		f.serve(w, req)
	}
	if f.dropAnswer && req.Method == http.MethodPost {
		f.dropAnswer = false
		return nil, io.ErrUnexpectedEOF
	}
	return w.Result(), nil
}

func (f *fakeRay) serve(w *httptest.ResponseRecorder, req *http.Request) {
	answer := func(v any) { _ = json.NewEncoder(w).Encode(v) }
	if name, ok := strings.CutPrefix(req.URL.Path, "/api/packages/gcs/"); ok {
		if req.Method == http.MethodPut {
			f.packages[name], _ = io.ReadAll(req.Body)
		} else if f.packages[name] == nil {
			w.WriteHeader(http.StatusNotFound)
		}
		return
	}
	id, verb, _ := strings.Cut(strings.TrimPrefix(req.URL.Path, "/api/jobs/"), "/")
	if id == "" {
		if req.Method == http.MethodPost {
			f.submit(w, req)
			return
		}
		var all []utiltypes.RayJobInfo
		for _, id := range f.order {
			if j := f.jobs[id]; j != nil {
				all = append(all, j.info)
			}
		}
		answer(all)
		return
	}
	j := f.jobs[id]
	switch {
	case j == nil:
		w.WriteHeader(http.StatusNotFound)
	case req.Method == http.MethodDelete:
		delete(f.jobs, id)
		f.deleted = append(f.deleted, id)
		answer(map[string]bool{"deleted": true})
	case verb == "stop":
		if f.onStop != nil {
			f.onStop(id, j)
		} else {
			j.info.JobStatus = "STOPPED"
		}
		answer(map[string]bool{"stopped": true})
	case verb == "logs":
		answer(map[string]string{"logs": j.log})
	default:
		if j.info.JobStatus == "PENDING" && f.pending == "" {
			j.info.JobStatus, j.info.Message = "RUNNING", ""
		}
		answer(j.info)
	}
}

func (f *fakeRay) submit(w *httptest.ResponseRecorder, req *http.Request) {
	var r utiltypes.RayJobRequest
	raw, _ := io.ReadAll(req.Body)
	_ = json.NewDecoder(bytes.NewReader(raw)).Decode(&r)
	if f.jobs[r.SubmissionId] != nil {
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = w.WriteString("Please use a different submission_id.")
		return
	}
	j := &fakeJob{info: utiltypes.RayJobInfo{
		SubmissionId: r.SubmissionId, JobStatus: "RUNNING", Metadata: r.Metadata, Entrypoint: r.Entrypoint,
		RuntimeEnv: r.RuntimeEnv, StartTime: uint64(time.Now().UnixMilli()),
	}}
	if f.pending != "" {
		j.info.JobStatus, j.info.Message = "PENDING", f.pending
	}
	switch {
	case f.onSubmit != nil:
		f.onSubmit(r.SubmissionId, j)
	case j.info.Metadata[metaStandby] == "":
		f.incarnation++
		j.inc = f.incarnation
	}
	f.jobs[r.SubmissionId] = j
	f.order = append(f.order, r.SubmissionId)
	_ = json.NewEncoder(w).Encode(utiltypes.RayJobResponse{JobId: r.SubmissionId})
}

// heartbeat is what the store would show: living agents that are not mute beat.
func (f *fakeRay) heartbeat() (Heartbeat, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	beat := Heartbeat{Age: time.Hour}
	for id, j := range f.jobs {
		if j.info.JobStatus == "RUNNING" && !j.muted && !j.dead && j.inc > beat.Incarnation {
			beat = Heartbeat{Incarnation: j.inc, Job: id, Age: 100 * time.Millisecond}
		}
	}
	return beat, true
}

func (f *fakeRay) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// living are the ids of the jobs that have not ended.
func (f *fakeRay) living() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(f.order), func(id string) bool {
		return f.jobs[id] == nil || f.jobs[id].info.JobStatus != "RUNNING"
	})
}

func (f *fakeRay) submitted() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.order)
}

// end ends the only living job.
func (f *fakeRay) end(t *testing.T, status string, log string) {
	t.Helper()
	ids := f.living()
	if len(ids) != 1 {
		t.Fatalf("living jobs: %v, want one", ids)
	}
	f.set(func() { f.jobs[ids[0]].info.JobStatus, f.jobs[ids[0]].log = statusOf(status), log })
}

// configOf is what a job's agent was told.
func configOf(t *testing.T, entrypoint string) AgentConfig {
	t.Helper()
	encoded, ok := strings.CutPrefix(entrypoint, "python -m dynctl_agent --config ")
	if !ok {
		t.Fatalf("entrypoint %q", entrypoint)
	}
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	var c AgentConfig
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	return c
}
