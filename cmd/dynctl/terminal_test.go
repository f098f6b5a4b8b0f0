package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"charm.land/lipgloss/v2"
	"github.com/rogpeppe/go-internal/testscript"
)

// openTerminal makes a pseudo-terminal of a size.
func openTerminal(columns, rows int) (master, slave *os.File, err error) {
	if master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0); err != nil {
		return nil, nil, err
	}
	number, unlock := uint32(0), int32(0)
	size := [4]uint16{uint16(rows), uint16(columns)}
	for _, call := range []struct {
		request uintptr
		arg     unsafe.Pointer
	}{
		{syscall.TIOCSPTLCK, unsafe.Pointer(&unlock)},
		{syscall.TIOCGPTN, unsafe.Pointer(&number)},
		{syscall.TIOCSWINSZ, unsafe.Pointer(&size)},
	} {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, master.Fd(), call.request, uintptr(call.arg)); errno != 0 {
			return nil, nil, errors.Join(errno, master.Close())
		}
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	return master, slave, err
}

// atTerminal runs dynctl with its output at a terminal of some columns:
//
//	screen 80 status
//	screen 80 exits 1 plan m.yaml
//
// What it wrote is in the file screen, with ^[ for an escape. No line of it may be
// wider than the terminal.
func atTerminal(ts *testscript.TestScript, neg bool, args []string) {
	columns, err := strconv.Atoi(args[0])
	ts.Check(err)
	args, want := args[1:], 0
	if args[0] == "exits" {
		want, err = strconv.Atoi(args[1])
		ts.Check(err)
		args = args[2:]
	}
	master, slave, err := openTerminal(columns, 24)
	ts.Check(err)
	cmd := command(ts, args...)
	cmd.Stdout = slave
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	ts.Check(cmd.Start())
	ts.Check(slave.Close())
	var out bytes.Buffer
	// It ends with an error once nobody holds the other end.
	_, _ = out.ReadFrom(master)
	ts.Check(master.Close())
	code := 0
	if exit, ok := errors.AsType[*exec.ExitError](cmd.Wait()); ok {
		code = exit.ExitCode()
	}
	if code != want {
		ts.Fatalf("exit code %d, want %d\n%s%s", code, want, out.String(), stderr.String())
	}
	text := strings.ReplaceAll(out.String(), "\r\n", "\n")
	for line := range strings.SplitSeq(text, "\n") {
		if w := lipgloss.Width(line); w > columns {
			ts.Fatalf("%d columns in a terminal of %d: %s", w, columns, line)
		}
	}
	ts.Check(os.WriteFile(ts.MkAbs("screen"), []byte(strings.ReplaceAll(text, "\x1b", "^[")), 0o600))
}

// command is dynctl in the story's environment, with a terminal that has colours.
func command(ts *testscript.TestScript, args ...string) *exec.Cmd {
	cmd := exec.Command("dynctl", args...)
	cmd.Path = lookIn(ts.Getenv("PATH"), "dynctl")
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{
		"PATH", "HOME", "USER", "XDG_CONFIG_HOME", "NO_COLOR", envNATSURL, envRace, "TESTSCRIPT_COMMAND",
	} {
		if v := ts.Getenv(name); v != "" {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	cmd.Env = append(cmd.Env, "TERM="+cmp.Or(ts.Getenv("TERM"), "xterm-256color"))
	return cmd
}

// watching runs dynctl watch at a terminal until it shows a text, resizes the
// terminal, waits for the text to be redrawn, and presses q: then it must end.
func watching(ts *testscript.TestScript, neg bool, args []string) {
	master, slave, err := openTerminal(80, 24)
	ts.Check(err)
	defer master.Close()
	cmd := command(ts, "watch")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	ts.Check(cmd.Start())
	ts.Check(slave.Close())
	limit := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
	defer limit.Stop()
	resized := false
	var seen bytes.Buffer
	for piece := make([]byte, 4096); ; {
		n, err := master.Read(piece)
		seen.Write(piece[:n])
		if err != nil {
			break
		}
		if !strings.Contains(seen.String(), args[0]) {
			continue
		}
		if !resized {
			resized = true
			seen.Reset()
			size := [4]uint16{12, 50}
			_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, master.Fd(), syscall.TIOCSWINSZ, uintptr(unsafe.Pointer(&size)))
			if errno != 0 {
				ts.Check(errno)
			}
			continue
		}
		_, err = master.WriteString("q")
		ts.Check(err)
	}
	if err := cmd.Wait(); err != nil {
		ts.Fatalf("watch: %v\n%q", err, seen.String())
	}
}

func lookIn(path, name string) string {
	for dir := range strings.SplitSeq(path, string(os.PathListSeparator)) {
		if _, err := os.Stat(dir + "/" + name); err == nil {
			return dir + "/" + name
		}
	}
	return name
}

// mask puts words in the place of addresses and of the store's id.
func mask(ts *testscript.TestScript, neg bool, args []string) {
	id, err := clientOf(ts).StoreID(context.Background())
	ts.Check(err)
	pairs := []string{ts.Getenv(envNATSURL), "nats://NATS", id, "STORE"}
	if endpoint := ts.Getenv("ENDPOINT"); endpoint != "" {
		pairs = append(pairs, endpoint, "http://FRONTEND/v1")
	}
	ts.Check(os.WriteFile(ts.MkAbs("masked"), []byte(strings.NewReplacer(pairs...).Replace(ts.ReadFile(args[0]))), 0o600))
}
