//go:build kube

package kube

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// tinyModel is the tokenizer that the mocker serves.
const tinyModel = "/tmp/dynctl-tiny-model"

// pod is a reconciler as the chart's pod is one, with its account and its store.
type pod struct {
	s          *server
	nats, http string
	config     string // holds the contexts of dynctl
	env        []string
	cmd        *exec.Cmd
	done       chan struct{}
}

// newPod has addresses and a store; nothing runs yet.
func (s *server) newPod() *pod {
	p := &pod{s: s, nats: net.JoinHostPort(ownAddress(s.t), freePort(s.t)), http: "127.0.0.1:" + freePort(s.t), config: s.path("config")}
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); !strings.HasPrefix(name, "RAY_") && !strings.HasPrefix(name, "DYNCTL_") {
			p.env = append(p.env, v)
		}
	}
	p.env = append(p.env, "HOME="+s.dir, "XDG_CONFIG_HOME="+p.config, "NO_COLOR=1", "DYNCTL_NATS_URL=nats://"+p.nats)
	s.t.Cleanup(func() {
		if p.cmd != nil {
			_ = p.cmd.Process.Kill() // it may have ended
			<-p.done
		}
		if s.t.Failed() {
			raw, _ := os.ReadFile(s.path("reconciler.log"))
			s.t.Logf("the end of the reconciler's log:\n%s", raw[max(0, len(raw)-8000):])
		}
	})
	return p
}

// start runs it under a name with a fresh token of the chart's account, following what the
// flags name.
func (p *pod) start(id string, flags ...string) {
	p.s.t.Helper()
	token := strings.TrimSpace(p.s.must("kubectl", "-n", "ml", "create", "token", "dynctl"))
	log, err := os.OpenFile(p.s.path("reconciler.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.s.t.Fatal(err)
	}
	defer log.Close()
	p.cmd = exec.Command(program(p.s.t, "reconciler"), append([]string{"--id", id, "--data-dir", p.s.path("store"), "--listen", p.nats,
		"--http", p.http}, flags...)...)
	p.cmd.Env = slices.Concat(p.env, []string{"KUBECONFIG=" + p.s.config(id, token)})
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		p.s.t.Fatal(err)
	}
	p.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) {
		_ = cmd.Wait() // its log says why
		close(done)
	}(p.cmd, p.done)
}

// end ends it as the kubelet does.
func (p *pod) end() {
	p.s.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.s.t.Fatal(err)
	}
	<-p.done
}

// says waits until /readyz tells a reason, with words, and dynctl status the reasons of the
// Ray cluster that are among them.
func (p *pod) says(words ...string) {
	p.s.t.Helper()
	p.s.eventually(strings.Join(words, ", "), func() error {
		text, err := p.readyz()
		status, bad := p.try("", "status")
		for _, w := range words {
			if !strings.Contains(text, w) {
				return errors.Join(fmt.Errorf("no %q in %q", w, text), err)
			}
			if strings.HasPrefix(w, "Ray") && !strings.Contains(status, w+": ") {
				return errors.Join(fmt.Errorf("no %q in %q", w, status), bad)
			}
		}
		return nil
	})
}

func (p *pod) readyz() (string, error) {
	resp, err := http.Get("http://" + p.http + "/readyz")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return strconv.Itoa(resp.StatusCode) + " " + string(body), err
}

// dynctl runs it and wants it to work.
func (p *pod) dynctl(stdin string, args ...string) string {
	p.s.t.Helper()
	out, err := p.try(stdin, args...)
	if err != nil {
		p.s.t.Fatalf("%v\n%s", err, out)
	}
	return out
}

// try runs dynctl.
func (p *pod) try(stdin string, args ...string) (string, error) {
	p.s.t.Helper()
	cmd := exec.Command(program(p.s.t, "dynctl"), args...)
	cmd.Env, cmd.Stdin = p.env, strings.NewReader(stdin)
	var out, bad bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &bad
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("dynctl %s: %w: %s", strings.Join(args, " "), err, bad.String())
	}
	return out.String(), nil
}

// declare sets the server on a port, with one model of two mockers.
func (p *pod) declare(port int) {
	p.s.t.Helper()
	p.dynctl(fmt.Sprintf(`apiVersion: dynctl/v1alpha1
kind: Server
metadata: {name: default}
spec: {frontend: {port: %d}}
---
apiVersion: dynctl/v1alpha1
kind: Model
metadata: {name: m}
spec: {model: %s, servedName: m, engine: mocker, replicas: 2}
`, port, tinyModel), "set", "-")
}

// served waits until the model is ready and has answered.
func (p *pod) served(port int) {
	p.s.t.Helper()
	p.dynctl("", "wait", "model/m", "--for", "Ready", "--timeout", "3m")
	p.s.eventually("an answer", func() error { return ask(port) })
}

// executions are the processes that run, by actor.
func (p *pod) executions() map[string]string {
	p.s.t.Helper()
	var units []struct {
		Actors []struct {
			Name                   string
			PID, ChildPID, Attempt int
		}
	}
	if err := json.Unmarshal([]byte(p.dynctl("", "get", "units", "-o", "json")), &units); err != nil {
		p.s.t.Fatal(err)
	}
	out := map[string]string{}
	for _, u := range units {
		for _, a := range u.Actors {
			out[a.Name] = fmt.Sprintf("actor %d, process %d, attempt %d", a.PID, a.ChildPID, a.Attempt)
		}
	}
	return out
}

// ask wants one answer of the model.
func ask(port int) error {
	client := http.Client{Timeout: 15 * time.Second}
	resp, err := client.Post(fmt.Sprintf("http://127.0.0.1:%d/v1/chat/completions", port), "application/json",
		strings.NewReader(`{"model": "m", "max_tokens": 4, "messages": [{"role": "user", "content": "hello"}]}`))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		return errors.Join(fmt.Errorf("%s: %s", resp.Status, body), err)
	}
	return err
}

// traffic asks all the time.
type traffic struct {
	good, bad atomic.Int64
	last      atomic.Value
	end       chan struct{}
	all       sync.WaitGroup
}

func startTraffic(port int) *traffic {
	tr := &traffic{end: make(chan struct{})}
	tr.all.Go(func() {
		for {
			select {
			case <-tr.end:
				return
			case <-time.After(50 * time.Millisecond):
			}
			if err := ask(port); err != nil {
				tr.bad.Add(1)
				tr.last.Store(err.Error())
				continue
			}
			tr.good.Add(1)
		}
	})
	return tr
}

// stop wants that every request was answered.
func (tr *traffic) stop(s *server, during string) {
	s.t.Helper()
	close(tr.end)
	tr.all.Wait()
	s.t.Logf("measured: %s: %d requests answered, %d failed", during, tr.good.Load(), tr.bad.Load())
	if tr.bad.Load() > 0 || tr.good.Load() == 0 {
		s.t.Errorf("%s: %d answers, %d failures, the last: %v", during, tr.good.Load(), tr.bad.Load(), tr.last.Load())
	}
}

// took prints what a step has taken.
func (s *server) took(what string, began time.Time) {
	s.t.Helper()
	s.t.Logf("measured: %s: %.1f s", what, time.Since(began).Seconds())
}

// healsAWorker kills the process of a worker, and waits until its next attempt runs.
func (p *pod) healsAWorker(port int) {
	p.s.t.Helper()
	before := p.executions()
	for name, was := range before {
		pid := 0
		if _, err := fmt.Sscanf(was, "actor %d, process %d", new(int), &pid); err != nil || !strings.Contains(name, "_DP") {
			continue
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			p.s.t.Fatal(err)
		}
		p.s.eventually(name+" runs again", func() error {
			if now := p.executions()[name]; !strings.HasSuffix(now, "attempt 2") {
				return errors.New(now)
			}
			return nil
		})
		p.served(port)
		return
	}
	p.s.t.Fatalf("no worker runs: %v", before)
}
