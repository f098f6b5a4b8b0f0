package main

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/rogpeppe/go-internal/testscript"

	"dynctl/state"
)

// evil is text that would take over a terminal, as others may have written it: a title,
// the clipboard, the screen (in both encodings of C1), what was said before, the order
// of letters.
const evil = "\x1b]0;PWN\a\x1b]52;c;UFdO\a\x1b[2J\u009b2J\u009d0;PWN\u009c\b\b\r\x7f\u202egpj\u2066\u200b\x1b[8m"

// styles are what dynctl writes by itself, and drawn what the screen of watch is made
// of besides.
var (
	styles = regexp.MustCompile(`\x1b\[([0-4;]|3[1-7]|9[1-7]|22|23|24|39)*m`)
	drawn  = regexp.MustCompile(`\x1b\[[0-9;:?<>=]*\$?[A-Za-z]|\x1b\]2;(dynctl)?\a|\x1b[=>78M]`)
)

// hostile runs dynctl with all its streams at a terminal, and fails if what others wrote
// reaches it: hostile WORD ARG.... It has to show the word, escaped; then it is
// interrupted if it goes on. In the arguments $EVIL is evil.
func hostile(ts *testscript.TestScript, neg bool, args []string) {
	master, slave, err := openTerminal(120, 40)
	ts.Check(err)
	defer master.Close()
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "EVIL", evil)
	}
	// What is written comes back by the echo of the terminal otherwise.
	var t syscall.Termios
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, slave.Fd(), syscall.TCGETS, uintptr(unsafe.Pointer(&t)))
	t.Lflag &^= syscall.ECHO
	t.Oflag &^= syscall.OPOST
	if errno == 0 {
		_, _, errno = syscall.Syscall(syscall.SYS_IOCTL, slave.Fd(), syscall.TCSETS, uintptr(unsafe.Pointer(&t)))
	}
	if errno != 0 {
		ts.Check(errno)
	}
	cmd := command(ts, args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	ts.Check(cmd.Start())
	ts.Check(slave.Close())
	limit := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
	defer limit.Stop()
	var seen bytes.Buffer
	for piece := make([]byte, 4096); ; {
		n, err := master.Read(piece)
		seen.Write(piece[:n])
		if err != nil {
			break
		}
		if strings.Contains(seen.String(), args[0]) {
			_ = cmd.Process.Signal(os.Interrupt)
		}
	}
	_ = cmd.Wait()
	text := seen.String()
	if !strings.Contains(text, args[0]) {
		ts.Fatalf("dynctl %q never showed %s:\n%q", args[1:], args[0], text)
	}
	rest := styles.ReplaceAllString(text, "")
	if args[1] == "watch" {
		rest = strings.ReplaceAll(drawn.ReplaceAllString(rest, ""), "\r", "") // it places its lines by itself
	}
	if i := strings.IndexFunc(rest, state.Hidden); i >= 0 {
		ts.Fatalf("dynctl %q let through %q", args[1:], rest[max(0, i-100):min(len(rest), i+100)])
	}
	if !utf8.ValidString(rest) {
		ts.Fatalf("dynctl %q let through what is no UTF-8:\n%q", args[1:], rest)
	}
}
