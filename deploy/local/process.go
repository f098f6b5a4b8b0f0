package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// MarkEnv is the environment variable that every process of a stack is started
// with; its value is the stack's temporary directory.
const MarkEnv = "DYNCTL_LOCAL_STACK"

// ErrLeftOver means that processes of a stack outlived its end.
var ErrLeftOver = errors.New("processes are left over")

const (
	termGrace  = 4 * time.Second
	killGrace  = 15 * time.Second
	pollPeriod = 50 * time.Millisecond
)

// Process is a live process of a stack.
type Process struct {
	PID     int
	Command string // the command line, or the title that the process gave itself
}

// Name is the base name of the program.
func (p Process) Name() string {
	name, _, _ := strings.Cut(p.Command, " ")
	return filepath.Base(name)
}

// Processes lists what lives of the stack with this temporary directory, by pid.
// Zombies do not count. The calling process is never listed.
func Processes(tempDir string) ([]Process, error) {
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var out []Process
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil || pid == os.Getpid() || !belongs(pid, tempDir) {
			continue
		}
		if p, err := ProcessOf(pid); err == nil {
			out = append(out, p)
		}
	}
	return out, nil
}

// ProcessOf is the process with that pid. Errors are those of reading /proc.
func ProcessOf(pid int) (Process, error) {
	line, err := os.ReadFile(procPath(pid, "cmdline"))
	text := strings.TrimSpace(string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
	return Process{PID: pid, Command: text}, err
}

func procPath(pid int, name string) string {
	return filepath.Join("/proc", strconv.Itoa(pid), name)
}

// belongs reports whether a process is part of the stack. One that ended meanwhile,
// or that another user owns, is not.
func belongs(pid int, tempDir string) bool {
	env, err := os.ReadFile(procPath(pid, "environ"))
	if err != nil {
		return false
	}
	mark := []byte(MarkEnv + "=" + tempDir)
	for v := range bytes.SplitSeq(env, []byte{0}) {
		if bytes.Equal(v, mark) {
			return true
		}
	}
	return writesBelow(pid, tempDir)
}

// WithDescendants are a process and all below it, parents first.
func WithDescendants(pid int) ([]int, error) {
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	children := map[int][]int{}
	for _, d := range dirs {
		child, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		if _, parent, err := readStat(child); err == nil { // it has not ended meanwhile
			children[parent] = append(children[parent], child)
		}
	}
	out := []int{pid}
	for i := 0; i < len(out); i++ {
		out = append(out, children[out[i]]...)
	}
	return out, nil
}

// Alive reports whether a process exists and is no zombie.
func Alive(pid int) bool {
	state, _, err := readStat(pid)
	return err == nil && state != "Z" && state != "X"
}

// readStat reads the state of a process, one letter as in ps, and its parent.
func readStat(pid int) (state string, parent int, err error) {
	stat, err := os.ReadFile(procPath(pid, "stat"))
	if err != nil {
		return "", 0, err
	}
	// The name in parentheses may hold anything; the state and the parent follow it.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 2 {
		return "", 0, fmt.Errorf("process %d: cannot read %q", pid, stat)
	}
	parent, err = strconv.Atoi(fields[1])
	return fields[0], parent, err
}

// writesBelow reports whether a process has a file below dir open for writing.
// Somebody who only reads a log there is no part of the stack.
func writesBelow(pid int, dir string) bool {
	fds, err := os.ReadDir(procPath(pid, "fd"))
	if err != nil {
		return false
	}
	for _, fd := range fds {
		target, err := os.Readlink(procPath(pid, "fd/"+fd.Name()))
		if err != nil || !strings.HasPrefix(target, dir+"/") {
			continue
		}
		info, err := os.ReadFile(procPath(pid, "fdinfo/"+fd.Name()))
		if err == nil && openForWriting(string(info)) {
			return true
		}
	}
	return false
}

// openForWriting reads the octal "flags:" line of /proc/PID/fdinfo/FD.
func openForWriting(info string) bool {
	for line := range strings.Lines(info) {
		value, ok := strings.CutPrefix(line, "flags:")
		if !ok {
			continue
		}
		flags, err := strconv.ParseInt(strings.TrimSpace(value), 8, 64)
		return err == nil && flags&syscall.O_ACCMODE != syscall.O_RDONLY
	}
	return false
}

// End ends every process of the stack: the reconciler first, so that it repairs
// nothing, then all others, with SIGTERM and after a few seconds SIGKILL. It
// returns [ErrLeftOver], naming them, if any lives on. Ending nothing succeeds.
func End(ctx context.Context, tempDir string) error {
	if err := end(ctx, tempDir, func(p Process) bool { return p.Name() == "reconciler" }); err != nil {
		return err
	}
	return end(ctx, tempDir, func(Process) bool { return true })
}

func end(ctx context.Context, tempDir string, which func(Process) bool) error {
	left, err := signalUntilGone(ctx, tempDir, which, signalling{syscall.SIGTERM, termGrace, false})
	if err != nil || len(left) == 0 {
		return err
	}
	// What is started meanwhile by what still lives is ended as well.
	left, err = signalUntilGone(ctx, tempDir, which, signalling{syscall.SIGKILL, killGrace, true})
	if err != nil || len(left) == 0 {
		return err
	}
	return fmt.Errorf("%w: %v; end them by hand: kill -9 PID", ErrLeftOver, left)
}

type signalling struct {
	signal syscall.Signal
	grace  time.Duration
	repeat bool // signal again on every look
}

// signalUntilGone returns what is left after the grace period.
func signalUntilGone(ctx context.Context, tempDir string, which func(Process) bool, how signalling) ([]Process, error) {
	deadline := time.Now().Add(how.grace)
	for first := true; ; first = false {
		all, err := Processes(tempDir)
		if err != nil {
			return nil, err
		}
		var left []Process
		for _, p := range all {
			if !which(p) {
				continue
			}
			left = append(left, p)
			if first || how.repeat {
				signalProcess(p.PID, tempDir, how.signal)
			}
		}
		if len(left) == 0 || time.Now().After(deadline) {
			return left, nil
		}
		select {
		case <-ctx.Done():
			return left, ctx.Err()
		case <-time.After(pollPeriod):
		}
	}
}

// signalProcess holds the process by a descriptor while it looks again whether
// it is the stack's, so that a pid that was reused is never hit.
func signalProcess(pid int, tempDir string, sig syscall.Signal) {
	p, err := os.FindProcess(pid)
	if err != nil {
		return
	}
	defer func() { _ = p.Release() }()
	if belongs(pid, tempDir) {
		_ = p.Signal(sig) // it may have ended by itself; the next look tells
	}
}
