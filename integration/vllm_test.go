//go:build integration && vllm

package integration

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// vllmStart bounds the start of one worker: about a minute of imports on 2 cores,
// and twice that the first time.
const vllmStart = 8 * time.Minute

// vllmModel is an aggregated model with real weights, if random ones, on the CPU. Its
// threads are not bound to cores: vLLM would bind those of both workers to the same one.
func (s *Server) vllmModel(replicas, seqs int) string {
	return fmt.Sprintf(`---
apiVersion: dynctl/v1alpha1
kind: Model
metadata: {name: llama, server: %s}
spec:
  model: %s
  servedName: llama
  engine: vllm
  replicas: %d
  engineArgs: {enforce_eager: true, max_model_len: 512, dtype: float32, max_num_seqs: %d}
  kvEventsConfig: {}
  env: {VLLM_TARGET_DEVICE: cpu, VLLM_CPU_KVCACHE_SPACE: "1", OMP_NUM_THREADS: "1", VLLM_CPU_OMP_THREADS_BIND: nobind}
  resources: {gpus: 1}
  terminationGracePeriod: 60s
`, s.Name, os.Getenv("VLLM_MODEL"), replicas, seqs)
}

// TestVLLM: two replicas of a real engine; streams of 200 tokens come to their end
// while one replica is scaled down, and while the spec rolls; an engine that hangs behind
// its main process is found; nothing of it is left in /tmp and /dev/shm.
func TestVLLM(t *testing.T) {
	before := left(t)
	e := Start(t, Options{Venv: os.Getenv("VLLM_VENV"), ReconcilerArgs: []string{"--cache-dir", t.TempDir()}})
	s := e.NewServer(t)
	began := time.Now()
	s.Set(s.vllmModel(2, 8))
	s.Wait("llama", "Ready", vllmStart)
	t.Logf("measured: spec put to two ready replicas of vLLM: %s", time.Since(began).Round(100*time.Millisecond))
	a := s.Chat("llama", "hello", 8)
	if a.Tokens != 8 {
		t.Errorf("answered %q (%d tokens), want 8 tokens", a.Text, a.Tokens)
	}
	if argv := commandLine(t, s.Workers("llama", "")[0].ChildPID); !strings.Contains(strings.Join(argv, " "), "-m dynamo.vllm --model") {
		t.Errorf("the worker runs %q", argv)
	}

	requireStreams(t, s.flight("llama", 8, 20), 20) // the first tokens of an engine take long

	t.Run("scale down", func(t *testing.T) {
		streams := s.flight("llama", 8, 200) // four on each replica
		s.Dynctl("scale", "model/llama", "--replicas", "1")
		Eventually(t, backIn, "one replica stops", func() bool {
			return slices.ContainsFunc(s.UnitsOf("llama", ""), func(u Unit) bool { return u.State == "Stopping" })
		})
		if !slices.ContainsFunc(streams, (*Stream).underWay) {
			t.Fatal("all streams ended before the stop began, so nothing is proven")
		}
		requireStreams(t, streams, 200)
		Eventually(t, time.Minute, "one unit", func() bool { return len(s.UnitsOf("llama", "")) == 1 })
	})
	t.Run("roll", func(t *testing.T) {
		old := s.generations("llama")[0]
		s.Set(s.vllmModel(1, 4))
		rounds := 0
		for began := time.Now(); slices.Contains(s.generations("llama"), old); rounds++ {
			if time.Since(began) > vllmStart {
				t.Fatalf("the old generation runs after %s", vllmStart)
			}
			requireStreams(t, s.flight("llama", 2, 200), 200)
		}
		t.Logf("measured: %d rounds of 2 streams of 200 tokens while the spec rolled", rounds)
		s.Wait("llama", "Ready", time.Minute)
	})
	k := &smoke{t: t, s: s, start: vllmStart}
	defer k.table()
	k.fault("hang engine", "llama", true, syscall.SIGSTOP)
	if k.rows[0].noticed > time.Minute {
		t.Errorf("a hung engine was noticed after %s", k.rows[0].noticed)
	}
	k.gone("delete, idle", "llama")
	requireNothingLeft(t, before)
}

// requireStreams wants each stream to have ended by itself, with all its tokens.
func requireStreams(t *testing.T, streams []*Stream, tokens int) {
	t.Helper()
	for i, st := range streams {
		st.Wait(t, 5*time.Minute)
		// vLLM may put several tokens into one chunk, never one into several.
		if st.Err != nil || st.Chunks > tokens+1 || st.Chunks == 0 {
			t.Errorf("stream %d: %v after %d chunks, want all of %d tokens", i, st.Err, st.Chunks, tokens)
		}
	}
}
