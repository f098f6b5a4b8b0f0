package ops

import (
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dynctl/actors"
	"dynctl/cmd/internal/verdict"
	"dynctl/state"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// get asks a page for a path.
func get(t *testing.T, p *Page, path string) *httptest.ResponseRecorder {
	t.Helper()
	mux := http.NewServeMux()
	p.Routes(mux)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody))
	return w
}

// Each section is a golden file: what the page says of the fixture, for a
// reviewer to read.
func TestSectionsAreAsTheGoldenFiles(t *testing.T) {
	p, _ := newTestPage(t)
	parts, err := p.current()
	if err != nil {
		t.Fatal(err)
	}
	if len(parts) != len(sections) {
		t.Fatalf("%d sections, want %d", len(parts), len(sections))
	}
	for _, part := range parts {
		file := filepath.Join("testdata", part.ID+".golden.html")
		if *update {
			if err := os.WriteFile(file, []byte(part.HTML), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatalf("%v; write it with go test -update", err)
		}
		if diff := cmp.Diff(string(want), part.HTML); diff != "" {
			t.Errorf("%s (-want +got):\n%s", part.ID, diff)
		}
	}
}

// said is what a page of an input has to say, and what it must not.
type said struct {
	name  string
	in    Input
	want  []string
	never []string
}

func pageSays(t *testing.T, rows []said) {
	t.Helper()
	for _, tc := range rows {
		t.Run(tc.name, func(t *testing.T) {
			p, src := newTestPage(t)
			src.set(tc.in)
			w := get(t, p, "/")
			body := squeeze(w.Body.String())
			for _, want := range tc.want {
				if !strings.Contains(body, squeeze(want)) && !strings.Contains(body, squeeze(strings.ReplaceAll(want, "'", "&#39;"))) {
					t.Errorf("%q is not there", want)
				}
			}
			for _, never := range tc.never {
				if strings.Contains(body, never) {
					t.Errorf("%q is there", never)
				}
			}
			if w.Code != http.StatusOK || strings.Contains(body, "ZgotmplZ") && tc.name != "what others wrote is text" {
				t.Errorf("status %d, or a value was refused by html/template", w.Code)
			}
		})
	}
}

func TestWhatThePageSays(t *testing.T) {
	pageSays(t, []said{
		{"a model that fails: why, since when, what is next, the log, what to do", fixture(), []string{
			`llama-70b is failing - dynctl</title>`, `data-name="model llama-70b" data-word="failing"`, `<strong>CrashLoopBackOff</strong>: 0 of 1 worker is healthy`,
			actors.ReasonText(actors.WaitBackOff), `it is executed again at <time datetime="2026-11-24T12:00:42Z"`, `&lt;GPU 5&gt; has 1.12 GiB free`,
			`<code>dynctl rollback model/llama-70b</code>`, `because WorkersReady is not True`,
		}, []string{"<GPU 5>"}},
		{"what does not serve leads to why", fixture(), []string{`<a href="#why-model.default.llama-70b">llama-70b is failing`, `<a href="#why-model.default.mixtral-8x22b">mixtral-8x22b is waiting`},
			[]string{`href="#why-model.default.phi-4"`, `href="#why-model.default.whisper-v3"`}},
		{"the events of a model", fixture(), []string{`<a href="/?model=llama-70b#timeline">`, `<a href="/?model=llama-70b&amp;trouble=1#timeline">`}, nil},
		{"an event of another day has its date", fixture(), []string{">24 Nov 11:57:07</time>"}, nil},
		{"a model that waits names the numbers", fixture(), []string{`data-name="model mixtral-8x22b" data-word="waiting"`, `<strong>InsufficientGPUs</strong>: 1 worker needs 4 GPUs on one node; 1 is free`}, nil},
		{"a rollout serves", fixture(), []string{`data-name="model phi-4" data-word="serving"`, `<strong>RollingOut</strong>`, "What is going on"}, nil},
		{"a suspended model says how to resume", fixture(), []string{`data-word="suspended"`, `<code>dynctl resume model/whisper-v3</code>`}, nil},
		{"the router says why", fixture(), []string{`<strong>kv with KV events</strong><span class="because">model qwen3-32b is disaggregated`}, nil},
		{"GPUs and who holds them", fixture(), []string{`<strong>7</strong> of 8 GPUs held, 1 free`, `GPU 0: 1a2b3c4d_qwen_qwen3_32b_decode_0 of server default`, `GPU 7: free`, `GPU 1: held by others`}, nil},
		{"a wanted unit is shown", fixture(), []string{`default/9c0d1e2f_mixtral_8x22b_DP0`, "Wanted"}, nil},
		{"the leader says so", fixture(), []string{`<strong>leads</strong>`, "epoch 4"}, []string{"stands by"}},
		{"an orphan and its command", fixture(), []string{`<code>dynctl sweep default/deadbeef_gemma_DP0</code>`}, nil},
	})
}

func TestWhatThePageSaysOfItself(t *testing.T) {
	standby := fixture()
	standby.Leader = Leader{Known: true, Holder: "ops-2", Epoch: 5, Since: noon}
	nobody := fixture()
	nobody.Leader, nobody.Missing = Leader{}, []string{"leader: none yet", "nats: not connected"}
	failing := fixture()
	failing.AgentFailure = &state.AgentFailure{Message: "the agent's job ended"}
	silent := fixture()
	silent.Observed = false
	fresh := Input{Now: noon, ID: "ops-1", Loaded: true}
	pageSays(t, []said{
		{"a standby says who leads", standby, []string{`<strong>stands by</strong>`, `<code>ops-2</code> leads, epoch 5`}, nil},
		{"nobody leads", nobody, []string{"no leader", "<li>leader: none yet</li>", "<li>nats: not connected</li>"}, nil},
		{"an agent that does not stay", failing, []string{`<strong>failing</strong>`}, nil},
		{"a silent agent", silent, []string{`<strong>silent</strong>`}, nil},
		{"nothing is declared", fresh, []string{"<code>dynctl set FILE</code>", "What Ray has is not known yet", "not there yet"}, nil},
		{"nothing is loaded", Input{Now: noon}, []string{"The specs are being loaded"}, nil},
	})
}

func TestWhatThePageSaysOfOthers(t *testing.T) {
	unsure := fixture()
	qwen := unsure.Statuses[4]
	for _, i := range []int{3, 5} { // Registered and Ready
		qwen.Conditions[i].Status, qwen.Conditions[i].Reason, qwen.Conditions[i].Message = state.StatusUnknown, actors.CondEtcdUnreachable, "no answer in 2 s"
	}
	qwen.Roles["decode"] = state.RoleStatus{Desired: 2, Running: 2, Ready: 1, Updated: 2, LastKnown: true}
	orphan := fixture()
	orphan.Units = append(orphan.Units, unit("deadbeef_gemma_DP0", "gemma", "", "node-gpu-2", "10.0.0.6", state.UnitRunning))
	orphan.Units[len(orphan.Units)-1].StoreID = "store-2"
	evil := fixture()
	evil.Statuses[1].Conditions[2].Message = "<script>alert(1)</script>\u202egpj\u2066\u0085\x1b"
	evil.Statuses[1].Endpoint, evil.Statuses[0].Endpoint = "javascript:alert(2)", "javascript:alert(2)"
	other := fixture()
	for i := range other.Statuses {
		other.Statuses[i].Server = "two"
	}
	two := fixture()
	two.Statuses = append(two.Statuses, &state.Status{Key: "server.two", Kind: state.KindServer, Server: "two"})
	pageSays(t, []said{
		{"models of several servers are told apart", two, []string{"default/llama-70b is failing - dynctl</title>", ">default/llama-70b is failing<"}, nil},
		{"what is not known, and what is", unsure, []string{"serving?</p>", "<strong>1?/2</strong> ready", "<strong>EtcdUnreachable</strong>: no answer in 2 s",
			"Meanwhile the frontend says that it serves; whether all that is wanted does is not known."}, []string{"degraded</p>"}},
		{"a unit of another store", orphan, []string{"of another store"}, nil},
		{"what others wrote is text", evil, []string{"&lt;script&gt;alert(1)", `\u202egpj\u2066\u0085\x1b`}, []string{"<script>alert", `href="javascript:`, "\u202e", "\u2066", "\u0085", "\x1b"}},
		{"a model of another server is named with it", other, []string{"dynctl status model/llama-70b --server two"}, nil},
	})
}

func TestFiltersWorkWithoutScript(t *testing.T) {
	p, _ := newTestPage(t)
	for _, tc := range []struct {
		query, count string
		hidden       int
	}{
		{"/", "9 of 9", 0},
		{"/?trouble=1", "2 of 9", 7},
		{"/?model=llama-70b", "2 of 9", 7},
		{"/?type=unit-ready&model=phi-4", "1 of 9", 8},
		{"/?type=agent-lost", "0 of 9", 9},
	} {
		t.Run(tc.query, func(t *testing.T) {
			body := squeeze(get(t, p, tc.query).Body.String())
			if !strings.Contains(body, ">"+tc.count+"</output>") {
				t.Errorf("the page does not say %q", tc.count)
			}
			if got := strings.Count(body, " hidden><time"); got != tc.hidden {
				t.Errorf("%d rows are hidden, want %d", got, tc.hidden)
			}
		})
	}
}

func TestHeaders(t *testing.T) {
	p, _ := newTestPage(t)
	for _, path := range []string{"/", "/assets/ops.js", "/assets/ops.css?v=" + p.assets["ops.css"].version} {
		w := get(t, p, path)
		if w.Code != http.StatusOK {
			t.Fatalf("%s: status %d", path, w.Code)
		}
		csp := w.Header().Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: the policy %q lacks %q", path, csp, want)
			}
		}
		if strings.Contains(csp, "unsafe") {
			t.Errorf("%s: the policy %q is weak", path, csp)
		}
		if got := strings.Contains(w.Header().Get("Cache-Control"), "immutable"); got != strings.Contains(path, "?v=") {
			t.Errorf("%s: Cache-Control %q", path, w.Header().Get("Cache-Control"))
		}
	}
	if w := get(t, p, "/assets/page.html"); w.Code != http.StatusNotFound {
		t.Errorf("a file that is no asset: status %d", w.Code)
	}
	if body := get(t, p, "/").Body.String(); strings.Contains(body, " style=") || strings.Contains(body, "<style") || strings.Contains(body, " onclick") {
		t.Error("the page has what its own policy forbids")
	}
}

// A word or a state without a look would be shown as unknown.
func TestEveryWordAndStateHasALook(t *testing.T) {
	for _, w := range []string{verdict.Serving, verdict.Degraded, verdict.Stale, verdict.Suspended, verdict.Rejected, verdict.Waiting, verdict.Failing, verdict.Starting, verdict.Deleting, verdict.Zero, verdict.Unknown} {
		if wordLooks[w] == "" {
			t.Errorf("the word %s has no look", w)
		}
	}
	for _, s := range []state.UnitState{state.UnitPending, state.UnitPlacing, state.UnitWaiting, state.UnitStarting, state.UnitRunning, state.UnitExited, state.UnitStopping, state.ActorDead} {
		if unitLooks[string(s)] == "" {
			t.Errorf("the state %s has no look", s)
		}
	}
	sprite, err := web.ReadFile("web/page.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, look := range []string{lookOK, lookBusy, lookWarn, lookBad, lookOff, lookNone, lookNote} {
		if !strings.Contains(string(sprite), `id="i-`+look+`"`) {
			t.Errorf("the look %s has no shape", look)
		}
	}
}

func TestCellsOfANode(t *testing.T) {
	u := func(id string, gpus int, ids ...string) nodeUnit {
		return nodeUnit{Unit: state.Unit{Unit: id, Server: "s"}, GPUs: gpus, GPUIDs: ids}
	}
	for _, tc := range []struct {
		name  string
		gpus  int
		free  float64
		units []nodeUnit
		want  string
	}{
		{"named GPUs stand where they are", 4, 2, []nodeUnit{u("a", 1, "3"), u("b", 1, "1")}, " B A"},
		{"unnamed ones take the first left", 4, 1, []nodeUnit{u("a", 2), u("b", 1, "0")}, "BAA "},
		{"others hold what nobody of ours does", 4, 1, []nodeUnit{u("a", 1, "0")}, "A·· "},
		{"more ids than GPUs reserved", 2, 1, []nodeUnit{u("a", 1, "0", "1")}, "A "},
		{"an id that is no number", 2, 1, []nodeUnit{u("a", 1, "GPU-8f3a")}, "A "},
		{"an id out of range", 2, 1, []nodeUnit{u("a", 1, "7")}, "A "},
		{"the same id twice", 2, 0, []nodeUnit{u("a", 1, "0"), u("b", 1, "0")}, "AB"},
		{"a unit without GPUs has no letter", 1, 1, []nodeUnit{u("a", 0)}, " "},
		{"too many to draw", 64, 64, nil, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := nodeCard{Node: state.Node{GPUs: tc.gpus, FreeGPUs: &tc.free}, Units: tc.units}
			n.settle()
			got := ""
			for _, c := range n.Cells {
				if c.Letter == "" {
					c.Letter = " "
				}
				got += c.Letter
				if c.Label == "" {
					t.Error("a cell says nothing aloud")
				}
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestCodeEscapesWhatItSets(t *testing.T) {
	for in, want := range map[string]string{
		"plain":          "plain",
		"see `a <b>` ok": "see <code>a &lt;b&gt;</code> ok",
		"odd ` one":      "odd ` one",
		"<i>`x`":         "&lt;i&gt;<code>x</code>",
		"`a` and `b`":    "<code>a</code> and <code>b</code>",
	} {
		if got := string(code(in)); got != want {
			t.Errorf("code(%q) = %q, want %q", in, got, want)
		}
	}
}
