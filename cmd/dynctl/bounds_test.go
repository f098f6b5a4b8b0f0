package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/state"
)

// floods are files that cost more than they should, by their name in the stories.
var floods = map[string]func() string{
	"documents": func() string { return strings.Repeat("a: b\n---\n", 1_000_000) },
	"models": func() string {
		return numbered(20_000, "apiVersion: dynctl/v1alpha1\nkind: Model\nmetadata: {name: m%d}\nspec: {model: x%[1]d}\n---\n")
	},
	"more models": func() string {
		return numbered(15_000, "apiVersion: dynctl/v1alpha1\nkind: Model\nmetadata: {name: n%d}\nspec: {model: y%[1]d}\n---\n")
	},
	"large": func() string { return strings.Repeat("# x\n", 5<<20) },
	"labels": func() string {
		return `{"apiVersion":"dynctl/v1alpha1","kind":"Model","metadata":{"name":"m","labels":{` +
			strings.Repeat(`"k":1,`, 85_000) + `"k":"1"}},"spec":{"model":"x"}}`
	},
	"unknown": func() string {
		return `{"apiVersion":"dynctl/v1alpha1","kind":"Model","metadata":{"name":"m"},"spec":{` + numbered(42_000, `"f%d":1,`) + `"model":"x"}}`
	},
	"broken": func() string {
		return "apiVersion: dynctl/v1alpha1\nkind: Model\nmetadata: {name: m}\nspec:\n" + strings.Repeat("  a: b: c\n", 50_000)
	},
	"values": func() string {
		return strings.Repeat(`{"a":[1`+strings.Repeat(",1", 200_000)+"]}\n", 10)
	},
	"arguments": func() string {
		return `{"apiVersion":"dynctl/v1alpha1","kind":"Model","metadata":{"name":"big"},"spec":{"model":"x","engineArgs":{` +
			numbered(40_000, `"a%d":1,`) + `"z":1}}}`
	},
}

func numbered(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// flood writes one of floods: flood NAME FILE.
func flood(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(floods[args[0]]()), 0o600))
}

// bounded runs dynctl with little memory and time, and checks its exit code: bounded 2
// set bad.yaml. What it wrote is in the files stdout and stderr; on stderr it may write
// no more than a message. It is dynctl as users have it: that of the other stories has
// the race detector in it, which takes several times the memory and the time.
func bounded(ts *testscript.TestScript, neg bool, args []string) {
	const (
		maxMemory = 400 // MiB
		maxTime   = 10 * time.Second
	)
	cmd := command(ts, args[1:]...)
	// The limit is the kernel's: the peak that it reports of a process begins with that of
	// the one that started it, which is this test.
	cmd.Path, cmd.Args = "/bin/sh", append([]string{"sh", "-c", fmt.Sprintf(`ulimit -d %d; exec "$0" "$@"`, maxMemory<<10), released(ts)}, args[1:]...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); !exited {
		ts.Check(err)
	}
	text := stderr.String()
	if code := strconv.Itoa(cmd.ProcessState.ExitCode()); code != args[0] {
		ts.Fatalf("exit code %s, want %s: %.500s", code, args[0], text)
	}
	spent := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime() // whatever else runs here
	if spent > maxTime {
		ts.Fatalf("it took %v", spent)
	}
	if len(text) > state.MaxMessage+100 {
		ts.Fatalf("it says %d bytes: %.300s", len(text), text)
	}
	ts.Logf("%v", spent.Round(time.Millisecond))
	ts.Check(os.WriteFile(ts.MkAbs("stdout"), stdout.Bytes(), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("stderr"), stderr.Bytes(), 0o600))
}

// released is dynctl as `make build` makes it, built once for each story.
func released(ts *testscript.TestScript) string {
	path := ts.MkAbs(".released/dynctl")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	cmd := exec.Command("go", "build", "-ldflags", "-s -w", "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		ts.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// awaitRead waits until a process has read so many bytes.
func awaitRead(t *testing.T, pid, bytes int) {
	t.Helper()
	for late := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
		if err != nil {
			t.Fatal(err)
		}
		var read int
		if _, err := fmt.Sscanf(string(text), "rchar: %d", &read); err != nil {
			t.Fatal(err)
		}
		if read >= bytes {
			return
		}
		if time.Now().After(late) {
			t.Fatalf("it has read %d bytes of %d", read, bytes)
		}
	}
}

// TestASignalEndsEveryVerb: one signal ends dynctl, wherever it is: while it reads from
// a pipe nobody writes to, and in the middle of much to read.
func TestASignalEndsEveryVerb(t *testing.T) {
	file, models := t.TempDir()+"/models.yaml", floods["models"]()
	if err := os.WriteFile(file, []byte(models), 0o600); err != nil {
		t.Fatal(err)
	}
	piped := strings.Repeat("# x\n", 15_000) // as much as a pipe takes, and more than a program reads to begin
	for _, tt := range []struct {
		name   string
		signal os.Signal
		after  int // bytes that it has read
		args   []string
	}{
		{"a silent pipe", syscall.SIGTERM, len(piped), []string{"set", "-"}},
		{"a terminal that is closed", syscall.SIGHUP, len(piped), []string{"set", "-"}},
		{"reading", os.Interrupt, len(piped), []string{"set", "--dry-run", file, file, file}},
		{"checking", syscall.SIGTERM, len(models), []string{"diff", file}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], tt.args...)
			cmd.Env = append(os.Environ(), "TESTSCRIPT_COMMAND=dynctl", envNATSURL+"=nats://127.0.0.1:1")
			in, out, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			defer in.Close()
			cmd.Stdin = in
			cmd.Path = os.Args[0]
			cmd.Args[0] = "dynctl"
			// What the tests were told to ignore, as by nohup, its child would ignore as well; what
			// they handle it takes as it always does.
			handled := make(chan os.Signal, 1)
			signal.Notify(handled, tt.signal)
			defer signal.Stop(handled)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := out.WriteString(piped); err != nil {
				t.Fatal(err)
			}
			awaitRead(t, cmd.Process.Pid, tt.after)
			_ = cmd.Process.Signal(tt.signal)
			began := time.Now()
			ended := make(chan struct{})
			go func() { _ = cmd.Wait(); close(ended) }()
			select {
			case <-ended:
				if code := cmd.ProcessState.ExitCode(); code != exit.Interrupted {
					t.Errorf("exit code %d after %v", code, tt.signal) // -1: it had no time to put things in order
				}
			case <-time.After(10 * time.Second):
				_ = cmd.Process.Kill()
				t.Fatalf("it goes on %v after %v", time.Since(began), tt.signal)
			}
		})
	}
}
