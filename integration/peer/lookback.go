package main

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"dynctl/deploy/local"
)

// ticks in a second, of what the kernel tells a process's start in.
const ticks = 100

// idleWorkers counts Ray's worker processes that wait for work.
func idleWorkers(stack *local.Stack) (n int, err error) {
	all, err := stack.Processes()
	for _, p := range all {
		if strings.HasPrefix(p.Command, "ray::IDLE") {
			n++
		}
	}
	return n, err
}

// lookBack tells when the processes that run now began, those since a moment. Nothing is
// asked while a start is measured: the kernel keeps it, to 10 ms.
func lookBack(stack *local.Stack, since time.Time) (t timeline, err error) {
	all, err := stack.Processes()
	if err != nil {
		return t, err
	}
	boot, err := sinceBoot()
	if err != nil {
		return t, err
	}
	now := time.Now()
	at := func(p procStat) float64 { return milliseconds(now.Add(p.started - boot).Sub(since)) }
	for _, p := range all {
		what := roleOf(p.Command)
		own, err := statOf(p.PID)
		if what == "" || err != nil || at(own) < -10 {
			continue // of another start, or it has ended meanwhile
		}
		actor, err := statOf(own.parent)
		if err != nil {
			return t, err
		}
		t.Processes = append(t.Processes, began{What: what, Actor: at(actor), Exec: at(own)})
	}
	slices.SortFunc(t.Processes, func(a, b began) int { return cmp.Or(cmp.Compare(a.Exec, b.Exec), cmp.Compare(a.What, b.What)) })
	return t, nil
}

// roleOf is what a process is to a start; empty: nothing.
func roleOf(command string) string {
	program, _, _ := strings.Cut(command, " ")
	switch {
	case strings.HasSuffix(program, "etcd"):
		return "etcd"
	case strings.HasSuffix(program, "nats-server"):
		return "NATS"
	case strings.Contains(command, "-m dynamo.frontend"):
		return "frontend"
	case strings.Contains(command, "-m dynamo.mocker"), strings.Contains(command, "-m dynamo.vllm"):
		return "worker"
	}
	return ""
}

type procStat struct {
	parent  int
	started time.Duration // since the machine's boot
}

// statOf reads fields 4 and 22 of /proc/PID/stat.
func statOf(pid int) (s procStat, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return s, err
	}
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	if len(fields) < 20 {
		return s, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields)+2)
	}
	if s.parent, err = strconv.Atoi(string(fields[1])); err != nil {
		return s, err
	}
	started, err := strconv.ParseInt(string(fields[19]), 10, 64)
	s.started = time.Duration(started) * time.Second / ticks
	return s, err
}

func sinceBoot() (time.Duration, error) {
	data, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(data), " ")
	seconds, err := strconv.ParseFloat(first, 64)
	return time.Duration(seconds * float64(time.Second)), err
}

func milliseconds(d time.Duration) float64 {
	return float64(d.Round(100*time.Microsecond).Microseconds()) / 1000
}
