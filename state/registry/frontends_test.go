package registry

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"dynctl/state"
)

// fakeFrontend answers as the real one of Dynamo 1.6.0 was recorded to, without a
// network, so that time in a test is the test's.
type fakeFrontend struct {
	mu      sync.Mutex
	answers map[string]recorded // by escaped path
	err     error
	asked   []string
	stop    time.Duration // this process is stopped for so long while the next answer comes
}

type recorded struct {
	status int
	body   string
}

func recording(t *testing.T, status int, file string) recorded {
	t.Helper()
	body, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return recorded{status, string(body)}
}

func (f *fakeFrontend) RoundTrip(req *http.Request) (*http.Response, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, req.URL.EscapedPath())
	if f.stop > 0 {
		time.Sleep(f.stop)
		f.stop = 0
		return nil, context.DeadlineExceeded
	}
	if f.err != nil {
		return nil, f.err
	}
	a, ok := f.answers[req.URL.EscapedPath()]
	if !ok {
		a = recorded{http.StatusNotFound, `{"message":"Model not found","type":"Not Found","code":404}`}
	}
	w := httptest.NewRecorder()
	w.WriteHeader(a.status)
	_, err := w.WriteString(a.body)
	return w.Result(), err
}

func (f *fakeFrontend) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// rounds is how often the list was asked for since the last call.
func (f *fakeFrontend) rounds() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, path := range f.asked {
		if path == "/v1/models" {
			n++
		}
	}
	f.asked = nil
	return n
}

// during waits, and counts what was asked for in the meantime and since the last call.
func (f *fakeFrontend) during(d time.Duration) map[string]int {
	time.Sleep(d)
	synctest.Wait() // no round is under way
	n := map[string]int{}
	f.set(func() {
		for _, path := range f.asked {
			n[path]++
		}
		f.asked = nil
	})
	return n
}

const (
	qwen      = "Qwen/Qwen3-8B"
	big       = "acme/big"
	qwenReady = "/v1/models/Qwen%2FQwen3-8B/ready"
	bigReady  = "/v1/models/acme%2Fbig/ready"
)

// aggregated is a worker set that is ready.
var aggregated = state.FrontendNamespace{Ready: true, Workers: map[string]int{"aggregated": 1}, Missing: []string{}}

// viewRow is what a frontend answers when it is asked for some models, and what is
// understood.
type viewRow struct {
	name    string
	models  []string
	answers map[string]recorded
	want    map[string]state.FrontendModel
}

func (row viewRow) view(t *testing.T) state.FrontendView {
	t.Helper()
	f := newFrontends(FrontendsConfig{}, &fakeFrontend{answers: row.answers})
	defer f.Close()
	f.Set(map[string]FrontendTarget{"default": {URL: "http://10.0.0.1:8000/", Models: row.models}})
	synctest.Wait()
	return f.Snapshot()["default"]
}

func understood(t *testing.T, rows []viewRow) {
	t.Helper()
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if diff := cmp.Diff(state.FrontendView{Known: true, Models: row.want}, row.view(t)); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestFrontendView(t *testing.T) {
	ok := func(file string) recorded { return recording(t, http.StatusOK, file) }
	understood(t, []viewRow{
		{
			name: "aggregated", models: []string{qwen},
			answers: map[string]recorded{"/v1/models": ok("models.json"), qwenReady: ok("ready_aggregated.json")},
			want: map[string]state.FrontendModel{
				big:  {Listed: true},
				qwen: {Listed: true, Ready: true, Namespaces: map[string]state.FrontendNamespace{"curator-1a2b3c4d": aggregated}},
			},
		},
		{
			name: "two generations side by side", models: []string{qwen},
			answers: map[string]recorded{"/v1/models": ok("models_missing_prefill.json"), qwenReady: ok("ready_two_generations.json")},
			want: map[string]state.FrontendModel{
				qwen: {Listed: true, Ready: true, Namespaces: map[string]state.FrontendNamespace{
					"curator-1a2b3c4d": aggregated, "curator-aaaabbbb": aggregated,
				}},
			},
		},
	})
}

func TestFrontendViewOfDisaggregatedModels(t *testing.T) {
	ok := func(file string) recorded { return recording(t, http.StatusOK, file) }
	understood(t, []viewRow{
		{
			name: "disaggregated", models: []string{big},
			answers: map[string]recorded{"/v1/models": ok("models.json"), bigReady: ok("ready_disagg.json")},
			want: map[string]state.FrontendModel{
				qwen: {Listed: true},
				big: {Listed: true, Ready: true, Namespaces: map[string]state.FrontendNamespace{
					"curator-5e6f7a8b": {Ready: true, Workers: map[string]int{"decode": 1, "prefill": 1}, Missing: []string{}},
				}},
			},
		},
		{
			name: "disaggregated without prefill: 503, and not listed", models: []string{big},
			answers: map[string]recorded{"/v1/models": ok("models_missing_prefill.json"), bigReady: recording(t, 503, "ready_missing_prefill.json")},
			want: map[string]state.FrontendModel{
				qwen: {Listed: true},
				big: {Namespaces: map[string]state.FrontendNamespace{
					"curator-5e6f7a8b": {Workers: map[string]int{"decode": 1}, Missing: []string{"prefill"}},
				}},
			},
		},
		{
			name: "no worker of the model: 404", models: []string{big},
			answers: map[string]recorded{"/v1/models": ok("models_missing_prefill.json"), bigReady: recording(t, 404, "ready_unknown.json")},
			want: map[string]state.FrontendModel{
				qwen: {Listed: true},
				big:  {Namespaces: map[string]state.FrontendNamespace{}},
			},
		},
	})
}

func TestFrontendThatIsNone(t *testing.T) {
	for name, row := range map[string]struct {
		answer recorded
		says   string
	}{
		"not a frontend":           {recorded{200, "<html>"}, "not what Dynamo's frontend says"},
		"an error of the frontend": {recorded{500, ""}, "answers 500"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := viewRow{answers: map[string]recorded{"/v1/models": row.answer}}.view(t)
				if got.Known || !strings.Contains(got.Err, row.says) {
					t.Errorf("got %+v, want unknown with %q", got, row.says)
				}
			})
		})
	}
}

// TestAFrontendOverTLS: its certificate may be for any name, of anybody.
func TestAFrontendOverTLS(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"object": "list", "data": []}`)
	}))
	defer server.Close()
	f := NewFrontends(FrontendsConfig{})
	defer f.Close()
	f.Set(map[string]FrontendTarget{"default": {URL: server.URL}})
	for late := time.Now().Add(time.Minute); !f.Snapshot()["default"].Known; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("got %+v", f.Snapshot()["default"])
		}
	}
}

func TestFrontendPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &fakeFrontend{answers: map[string]recorded{"/v1/models": recording(t, 200, "models.json")}}
		f := newFrontends(FrontendsConfig{}, fake)
		defer f.Close()
		f.Set(map[string]FrontendTarget{"default": {URL: "http://10.0.0.1:8000"}, "other": {}})
		if got := f.Snapshot()["other"]; got.Known || got.Err == "" {
			t.Errorf("no address: %+v", got)
		}
		time.Sleep(950 * time.Millisecond)
		if got := fake.rounds(); got != 10 {
			t.Errorf("unsettled: asked %d times in 0.95 s, want 10", got)
		}
		f.Settle("default", true)
		time.Sleep(100 * time.Millisecond) // the one that was due
		fake.rounds()
		time.Sleep(10 * time.Second)
		if got := fake.rounds(); got != 5 {
			t.Errorf("settled: asked %d times in 10 s, want 5", got)
		}
		f.Poke("default")
		synctest.Wait()
		if got := fake.rounds(); got != 1 {
			t.Errorf("poked: asked %d times, want 1 at once", got)
		}
		f.Settle("default", false)
		synctest.Wait()
		if got := fake.rounds(); got != 1 {
			t.Errorf("unsettled again: asked %d times, want 1 at once", got)
		}
	})
}

// A question that was answered while this process was stopped is asked again: its time was over
// before anybody could hear the answer.
func TestAStopOfThisProcessIsNoSilenceOfAFrontend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &fakeFrontend{answers: map[string]recorded{"/v1/models": {http.StatusOK, `{"data":[]}`}}}
		f := newFrontends(FrontendsConfig{}, fake)
		defer f.Close()
		f.Set(map[string]FrontendTarget{"default": {URL: "http://10.0.0.1:8000"}})
		synctest.Wait()
		drained(f.Kick())
		fake.set(func() { fake.stop = 20 * time.Second })
		time.Sleep(time.Minute)
		synctest.Wait()
		if drained(f.Kick()) || !f.Snapshot()["default"].Known {
			t.Errorf("after the stop: %+v", f.Snapshot()["default"])
		}
		fake.set(func() { fake.err = errDown })
		time.Sleep(time.Minute)
		synctest.Wait()
		if f.Snapshot()["default"].Known {
			t.Error("one that does not answer is known")
		}
	})
}

func TestFrontendChangesKick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &fakeFrontend{answers: map[string]recorded{"/v1/models": recording(t, 200, "models.json")}}
		f := newFrontends(FrontendsConfig{}, fake)
		defer f.Close()
		target := map[string]FrontendTarget{"default": {URL: "http://10.0.0.1:8000", Models: []string{qwen}}}
		f.Set(target)
		synctest.Wait()
		drained(f.Kick())
		f.Set(target)
		time.Sleep(time.Second)
		if drained(f.Kick()) {
			t.Error("the same answers kick")
		}
		fake.set(func() { fake.err = errors.New("connection refused") })
		time.Sleep(150 * time.Millisecond)
		if got := f.Snapshot()["default"]; got.Known || !strings.Contains(got.Err, "connection refused") || !drained(f.Kick()) {
			t.Errorf("a frontend that is gone: %+v", got)
		}
		f.Set(map[string]FrontendTarget{})
		if len(f.Snapshot()) != 0 || !drained(f.Kick()) {
			t.Error("a server that is left out stays")
		}
	})
}
