//go:build integration

package integration

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// TestAggregatedModelServes: what is declared becomes ready and answers.
func TestAggregatedModelServes(t *testing.T) {
	s := serving(t)
	st := s.Status("plain")
	for _, typ := range []string{"Accepted", "Scheduled", "WorkersReady", "Registered", "RouterReady", "Ready", "Available", "UpToDate"} {
		if c, _ := st.Condition(typ); c.Status != "True" {
			t.Errorf("%s is %+v, want True", typ, c)
		}
	}
	if st.ObservedRevision == 0 || st.ObservedRevision != st.AcceptedRevision {
		t.Errorf("observed revision %d, accepted %d", st.ObservedRevision, st.AcceptedRevision)
	}
	if want := s.URL("/v1"); strings.Replace(st.Endpoint, hostOf(st.Endpoint), "127.0.0.1", 1) != want {
		t.Errorf("endpoint %s, want one like %s", st.Endpoint, want)
	}
	a := s.Chat("plain", "hello", 8)
	if a.Tokens != 8 || a.Text == "" {
		t.Errorf("answered %q (%d tokens), want 8 tokens of text", a.Text, a.Tokens)
	}
	if lease := s.UnitsOf("plain", "")[0].Actors[0].Lease; a.DecodeWorker != lease {
		t.Errorf("served by %d, want the lease %d", a.DecodeWorker, lease)
	}
	s.requireClosed()
}

func hostOf(url string) string {
	host, _, _ := strings.Cut(strings.TrimPrefix(url, "http://"), ":")
	return host
}

// TestPutToFirstToken measures what a user waits for on a cluster that serves
// already.
func TestPutToFirstToken(t *testing.T) {
	s := serving(t)
	nc, js := s.Env.connect(t)
	starts, err := nc.SubscribeSync("dynctl.events." + s.Name + ".start.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Delete("model/fresh"); s.Wait("fresh", "deleted", time.Minute) })
	put := time.Now()
	if _, err := js.Publish(t.Context(), "$KV.dynctl_specs.model."+s.Name+".fresh", []byte(s.Mocker("fresh", 1))); err != nil {
		t.Fatal(err)
	}
	if _, err := starts.NextMsg(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	within(t, "spec put to start event", time.Since(put), time.Second)
	Eventually(t, readyIn, "an answer", func() bool {
		_, err := chat(t.Context(), s.URL("/v1/chat/completions"), "fresh", "hello", 1)
		return err == nil
	})
	within(t, "spec put to first token", time.Since(put), 30*time.Second)
}

// TestDisaggJoinsUnderLoad: a disaggregated model comes and goes beside a model
// that a client talks to, who notices neither.
func TestDisaggJoinsUnderLoad(t *testing.T) {
	s := serving(t)
	before := s.executions("", "plain")
	load := s.Load("plain", 20)
	s.add("split", s.MockerDisagg("split", 1, 1))
	s.Chat("split", "hello", 4)
	requireNoRestart(t, before, s.executions("", "plain"))
	s.Delete("model/split")
	s.Wait("split", "deleted", time.Minute)
	requireNoFailure(t, load.Stop())
	requireNoRestart(t, before, s.executions("", "plain"))
}

// TestDisaggAnswerNamesItsWorkers: prefill and decode are two workers, those
// that get units shows.
func TestDisaggAnswerNamesItsWorkers(t *testing.T) {
	s := serving(t)
	s.add("split", s.MockerDisagg("split", 1, 1))
	a := s.Chat("split", "who are you, and who else was it?", 4)
	decode, prefill := s.UnitsOf("split", "decode")[0].Actors[0], s.UnitsOf("split", "prefill")[0].Actors[0]
	if a.PrefillWorker == a.DecodeWorker || a.DecodeWorker != decode.Lease || a.PrefillWorker != prefill.Lease {
		t.Errorf("served by prefill %d and decode %d, want the leases %d and %d", a.PrefillWorker, a.DecodeWorker, prefill.Lease, decode.Lease)
	}
}

// routed is the detail of router-resolved.
type routed struct {
	Mode     string `json:"mode"`
	KVEvents bool   `json:"kvEvents"`
	Because  string `json:"because"`
}

// resolved are the answers of the router that the stream tells of.
func (s *Server) resolved() []routed {
	s.t.Helper()
	var out []routed
	for _, f := range s.facts("router-resolved") {
		var r routed
		decode(s.t, string(f.Detail), &r)
		if !strings.Contains(f.Message, r.Because) {
			s.t.Errorf("the message %q does not say why: %q", f.Message, r.Because)
		}
		out = append(out, r)
	}
	return out
}

// TestRouterFollowsDisaggModels: the stream tells each change of the answer once,
// with the model that caused it.
func TestRouterFollowsDisaggModels(t *testing.T) {
	s := serving(t)
	told := len(s.resolved())
	s.add("split", s.MockerDisagg("split", 1, 1))
	now := s.resolved()
	if len(now) != told+1 || now[told].Mode != "kv" || !now[told].KVEvents || !strings.Contains(now[told].Because, "split") {
		t.Fatalf("after the first disaggregated model the stream tells %+v, want one answer more: kv with KV events because of split", now)
	}
	s.Delete("model/split")
	s.Wait("split", "deleted", time.Minute)
	Eventually(t, 5*time.Second, "the answer is told", func() bool { return len(s.resolved()) > told+1 })
	now = s.resolved()
	if last := now[len(now)-1]; len(now) != told+2 || last.Mode != "" || last.KVEvents {
		t.Errorf("after its deletion the stream tells %+v, want one answer more: Dynamo's own", now)
	}
}

// TestRouterAppliedToFrontend: with apply: frontend the answer is on the command
// line of the frontend, which alone is restarted.
func TestRouterAppliedToFrontend(t *testing.T) {
	s := Shared(t).NewServer(t, "router: {apply: frontend}")
	s.Set(s.Mocker("plain", 1))
	s.Wait("plain", "Ready", readyIn)
	workers := s.executions("plain")
	first := s.InfraActor("Frontend")
	if argv := commandLine(t, first.ChildPID); slices.Contains(argv, "--router-mode") {
		t.Errorf("with no disaggregated model the frontend runs %q", argv)
	}

	s.add("split", s.MockerDisagg("split", 1, 1))
	second := s.AwaitAttempt("infra", "_Frontend", 2, backIn)
	argv := commandLine(t, second.ChildPID)
	at := slices.Index(argv, "--router-mode")
	if at < 0 || !slices.Equal(argv[at:at+3], []string{"--router-mode", "kv", "--router-kv-events"}) {
		t.Errorf("the frontend runs %q, want --router-mode kv --router-kv-events", argv)
	}
	if seed := environment(t, second.ChildPID)["PYTHONHASHSEED"]; seed != "0" {
		t.Errorf("PYTHONHASHSEED=%q, want 0", seed)
	}
	for _, u := range s.UnitsOf("split", "decode") {
		if argv := commandLine(t, u.Actors[0].ChildPID); slices.Contains(argv, "--router-mode") {
			t.Errorf("the worker carries a mode of its own: %q", argv)
		}
	}
	s.Chat("split", "hello", 4)

	s.Delete("model/split")
	s.Wait("split", "deleted", time.Minute)
	third := s.AwaitAttempt("infra", "_Frontend", 3, backIn)
	if argv := commandLine(t, third.ChildPID); slices.Contains(argv, "--router-mode") {
		t.Errorf("with no disaggregated model any more the frontend runs %q", argv)
	}
	s.Wait("plain", "Ready", readyIn)
	s.Chat("plain", "hello", 4)
	if third.PID != first.PID || third.Attempt != 3 {
		t.Errorf("attempt %d in actor process %d, want the third in place in %d", third.Attempt, third.PID, first.PID)
	}
	for _, name := range []string{"ETCD", "NATS"} {
		if a := s.InfraActor(name); a.Attempt != 1 {
			t.Errorf("%s is in attempt %d", name, a.Attempt)
		}
	}
	requireNoRestart(t, workers, s.executions("plain"))
}

// TestDeletedLeavesNothing: no process, no actor, no placement group, no lease,
// no directory but what is kept.
func TestDeletedLeavesNothing(t *testing.T) {
	s := Shared(t).nameServer(t)
	t.Cleanup(func() {
		if len(s.Units()) > 0 {
			s.remove()
		}
	})
	s.declare()
	s.Set(s.Mocker("plain", 1), s.MockerDisagg("split", 1, 1))
	s.Wait("plain", "Ready", readyIn)
	s.Wait("split", "Ready", readyIn)
	var pids []int
	var leases []int64
	for _, u := range s.Units() {
		for _, a := range u.Actors {
			pids = append(pids, a.PID, a.ChildPID)
			if a.Lease != 0 {
				leases = append(leases, a.Lease)
			}
		}
	}
	if len(leases) != 3 {
		t.Fatalf("leases %v, want those of 3 workers", leases)
	}

	s.Delete("model/plain", "model/split")
	s.Wait("plain", "deleted", time.Minute)
	s.Wait("split", "deleted", time.Minute)
	s.requireNoLease(leases)
	s.Delete("server/" + s.Name)
	Eventually(t, time.Minute, "no unit", func() bool { return len(s.Units()) == 0 })
	RequireGone(t, pids...)
	prefix := "dynamo_" + s.Name + "_"
	for _, r := range s.Env.rayState(t, "actors", prefix) {
		if r.State != "DEAD" {
			t.Errorf("actor %s is %s", r.Name, r.State)
		}
	}
	for _, r := range s.Env.rayState(t, "placement_groups", prefix) {
		if r.State != "REMOVED" {
			t.Errorf("placement group %s is %s", r.Name, r.State)
		}
	}
	s.requireOnlyLogs()
}

// requireNoLease wants etcd to hold nothing of workers that are gone.
func (s *Server) requireNoLease(gone []int64) {
	s.t.Helper()
	c := s.etcd()
	defer c.Close()
	keys, err := c.Get(s.t.Context(), "v1/", clientv3.WithPrefix())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, kv := range keys.Kvs {
		if slices.Contains(gone, kv.Lease) {
			s.t.Errorf("etcd still has %s", kv.Key)
		}
	}
	held, err := c.Leases(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, l := range held.Leases {
		if slices.Contains(gone, int64(l.ID)) {
			s.t.Errorf("etcd still has the lease %x", l.ID)
		}
	}
}

// requireOnlyLogs looks at the runtime directories of the server's units.
func (s *Server) requireOnlyLogs() {
	s.t.Helper()
	dirs, err := filepath.Glob(filepath.Join(s.Env.Stack.TempDir(), "session_latest", "nemo_curator_dynamo_"+s.Name+"_*"))
	if err != nil || len(dirs) != 4 {
		s.t.Errorf("runtime directories %v (%v), want those of infra and 3 workers", dirs, err)
	}
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, e := range entries {
			infraData := strings.HasSuffix(dir, "_infra") && strings.HasSuffix(e.Name(), "_data")
			if !strings.Contains(e.Name(), ".log") && !infraData {
				s.t.Errorf("%s is left in %s", e.Name(), dir)
			}
		}
	}
}
