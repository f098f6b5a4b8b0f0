//go:build integration && gpu

package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// gpuStart bounds the start of one worker on a card; what it compiles included.
const gpuStart = 6 * time.Minute

// gpuModel is a model of vLLM. Lines are added to its spec.
func (s *Server) gpuModel(name string, seqs int, args string, lines ...string) string {
	return fmt.Sprintf(`---
apiVersion: dynctl/v1alpha1
kind: Model
metadata: {name: %[2]s, server: %[1]s}
spec:
  model: %[3]s
  servedName: %[2]s
  engine: vllm
  engineArgs: {max_model_len: 2048, dtype: bfloat16, max_num_seqs: %[4]d%[5]s}
  terminationGracePeriod: 60s
%[6]s`, s.Name, name, os.Getenv("VLLM_MODEL"), seqs, args, indent(lines))
}

// cards is the memory in use on each NVIDIA card, in MiB; of those in
// CUDA_VISIBLE_DEVICES, which Ray obeys too, where that is set.
func cards(t *testing.T) (used []int) {
	t.Helper()
	args := []string{"--query-gpu=memory.used", "--format=csv,noheader,nounits"}
	if visible := os.Getenv("CUDA_VISIBLE_DEVICES"); visible != "" {
		args = append(args, "--id="+visible)
	}
	out, err := exec.CommandContext(t.Context(), "nvidia-smi", args...).Output()
	if err != nil {
		t.Fatalf("nvidia-smi: %v; this test is for a machine with NVIDIA cards", err)
	}
	for line := range strings.Lines(string(out)) {
		n, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil {
			t.Fatalf("nvidia-smi printed %q", out)
		}
		used = append(used, n)
	}
	return used
}

// TestGPU: a real engine on every card of the machine, through each fault; what is
// compiled is kept; nothing is left on the cards. CUDA_VISIBLE_DEVICES leaves cards out.
func TestGPU(t *testing.T) {
	before, used := left(t), cards(t)
	e := Start(t, Options{
		Venv: filepath.Dir(filepath.Dir(os.Getenv("VLLM_PYTHON"))), GPUs: len(used), ReconcilerArgs: []string{"--cache-dir", t.TempDir()},
	})
	k := &smoke{t: t, s: e.NewServer(t), start: gpuStart}
	defer k.table()
	const eager = ", enforce_eager: true"

	k.part("faults", func(k *smoke) {
		replicas := fmt.Sprintf("replicas: %d", len(used))
		k.serve("first start", "m", k.s.gpuModel("m", 16, eager, replicas))
		k.fault("kill main process", "m", false, syscall.SIGKILL)
		k.fault("kill engine", "m", true, syscall.SIGKILL)
		k.fault("hang main process", "m", false, syscall.SIGSTOP)
		k.fault("hang engine", "m", true, syscall.SIGSTOP)
		k.roll("roll, every card in use", "m", k.s.gpuModel("m", 8, eager, replicas))
		k.gone("delete, idle", "m")
		requireFree(k.t, used)
		requireNothingLeft(k.t, before)
	})
	if len(used) > 1 {
		k.part("two cards", func(k *smoke) {
			k.serve("tensor parallel", "tp", k.s.gpuModel("tp", 16, eager+", tensor_parallel_size: 2"))
			k.fault("tensor parallel: kill main process", "tp", false, syscall.SIGKILL)
			k.gone("delete, idle", "tp")
			k.serve("prefill and decode", "pd", k.s.gpuModel("pd", 16, eager, "mode: disagg"))
			k.gone("delete, idle", "pd")
			requireNothingLeft(k.t, before)
		})
	}
	k.part("compiled", func(k *smoke) {
		k.serve("compiled, cold", "c", k.s.gpuModel("c", 16, ""))
		k.gone("delete, idle", "c")
		k.serve("compiled, warm", "c", k.s.gpuModel("c", 16, ""))
		k.fault("compiled, warm: kill main process", "c", false, syscall.SIGKILL)
		compiled := k.commandOf("c")
		k.gone("delete, idle", "c")
		requireNothingLeft(k.t, before)
		k.byHand("compiled, by hand", "c", compiled)
	})
	requireFree(t, used)
	t.Logf("measured: %s", e.run(t, "", "doctor"))
}

// requireFree wants no more memory in use on the cards than before.
func requireFree(t *testing.T, before []int) {
	t.Helper()
	Eventually(t, 20*time.Second, "the cards are free", func() bool {
		for i, used := range cards(t) {
			if used > before[i]+64 {
				return false
			}
		}
		return true
	})
}
