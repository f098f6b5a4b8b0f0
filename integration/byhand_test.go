//go:build integration && (vllm || gpu)

package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"dynctl/deploy/local"
)

// byHandNamespace is where a worker registers that a person starts.
const byHandNamespace = "byhand"

// command is how a person would start what the product started: the same words and the
// same environment, in a namespace of its own.
type command struct{ argv, env []string }

// commandOf copies the command line of a model's first worker while it runs.
func (k *smoke) commandOf(model string) command {
	k.t.Helper()
	pid := k.s.UnitsOf(model, "")[0].Actors[0].ChildPID
	argv := commandLine(k.t, pid)
	for i, word := range argv {
		if rest, found := strings.CutPrefix(word, "dyn://"); found {
			_, endpoint, _ := strings.Cut(rest, ".")
			argv[i] = "dyn://" + byHandNamespace + "." + endpoint
		}
	}
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		k.t.Fatal(err)
	}
	return command{argv, strings.Split(strings.TrimRight(string(environ), "\x00"), "\x00")}
}

// byHand runs a worker twice beside a frontend of its own and adds what each took from
// the start of its process to the first answer: with empty caches, and with what the
// first one compiled.
func (k *smoke) byHand(what, model string, c command) {
	k.t.Helper()
	ports, err := local.FreePorts(2)
	if err != nil {
		k.t.Fatal(err)
	}
	dir, err := os.MkdirTemp("/tmp", "dynctl-it-")
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			k.t.Error(err)
		}
	})
	env := append(slices.Clone(c.env), "TMPDIR="+dir, "VLLM_RPC_BASE_PATH="+dir, "DYN_NAMESPACE="+byHandNamespace, "DYN_SYSTEM_PORT="+strconv.Itoa(ports[1]))
	for _, name := range []string{"VLLM_CACHE_ROOT", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "FLASHINFER_WORKSPACE_BASE", "CUDA_CACHE_PATH"} {
		env = append(env, name+"="+filepath.Join(dir, name))
	}
	plane := "nats"
	for _, v := range c.env {
		if value, found := strings.CutPrefix(v, "DYN_REQUEST_PLANE="); found {
			plane = value
		}
	}
	start := func(name string, env []string, argv ...string) *program {
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Env, cmd.Dir = env, dir
		return k.s.Env.launch(k.t, name, cmd)
	}
	frontend := start("frontend", append(env, "DYN_SYSTEM_PORT=-1"), c.argv[0], "-m", "dynamo.frontend", "--http-port", strconv.Itoa(ports[0]),
		"--namespace", byHandNamespace, "--discovery-backend", "etcd", "--request-plane", plane, "--event-plane", "nats")
	defer frontend.end(syscall.SIGTERM)
	time.Sleep(5 * time.Second) // its imports are not the worker's
	url := fmt.Sprintf("http://127.0.0.1:%d/v1/chat/completions", ports[0])
	for _, caches := range []string{"cold", "warm"} {
		began := time.Now()
		worker := start("worker", env, c.argv...)
		Eventually(k.t, k.start, what+", "+caches+": an answer", func() bool {
			ctx, cancel := context.WithTimeout(k.t.Context(), 10*time.Second)
			defer cancel()
			_, err := chat(ctx, url, model, "hello", 8)
			return err == nil
		})
		k.add(smokeRow{what: what + ", " + caches, healed: time.Since(began), note: "from its exec to its first answer"})
		worker.end(syscall.SIGTERM)
	}
}
