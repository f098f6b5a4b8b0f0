package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"dynctl/cmd/dynctl/internal/exit"
)

// full is a file on a disk that has room for so many writes.
type full struct{ room int }

var errNoSpace = errors.New("no space left on device")

func (f *full) Write(p []byte) (int, error) {
	if f.room == 0 {
		return 0, errNoSpace
	}
	f.room--
	return len(p), nil
}

// TestOutputThatIsNotWhole wants every way to print to tell what did not fit: prose,
// tables, JSON and help.
func TestOutputThatIsNotWhole(t *testing.T) {
	for _, args := range []string{"version", "explain model", "explain model.spec.replicas -o json", "explain Ready", "help", "set --help", "schema model", "completion bash", "--version"} {
		for room := range 2 {
			var stderr bytes.Buffer
			to := &full{room: room}
			code := run(context.Background(), strings.Fields(args), strings.NewReader(""), to, &stderr)
			if code == exit.OK && to.room == 0 && room == 1 && stderr.Len() == 0 {
				continue // all of it was one write
			}
			if code != exit.Unreachable || !strings.Contains(stderr.String(), "no space left on device") {
				t.Errorf("dynctl %s, room for %d writes: exit code %d, %q", args, room, code, stderr.String())
			}
		}
	}
}

// TestOutputKeepsTheError wants the error of a verb to stay the one that is told.
func TestOutputKeepsTheError(t *testing.T) {
	o := &output{to: &full{}}
	if _, err := o.Write([]byte("x")); !errors.Is(err, errNoSpace) {
		t.Fatalf("wrote: %v", err)
	}
	usage := exit.Usagef("no such thing")
	for _, row := range []struct {
		err  error
		code int
	}{
		{nil, exit.Unreachable},
		{errDifference, exit.Unreachable}, // the differences are what was not written
		{usage, exit.Usage},
		{errNoSpace, exit.Unreachable},
	} {
		if got := exit.CodeOf(o.complete(row.err)); got != row.code {
			t.Errorf("%v: code %d, want %d", row.err, got, row.code)
		}
	}
}
