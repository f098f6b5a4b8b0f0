package state

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Bounds of what is said about one input, however much is wrong with it.
const (
	// MaxFaults is how many faults are told; the others are counted.
	MaxFaults = 20
	// MaxMessage is the size of the longest text about them, in bytes.
	MaxMessage = 4 << 10

	maxWord = 200 // bytes of a word of the input within a message
	maxText = 512 // bytes of one message or hint
)

// Faults are what is wrong with an input. It is an error whose text is at most
// MaxMessage long.
type Faults struct {
	// Told are the first faults, at most MaxFaults.
	Told []error
	// More is how many others there are.
	More int
}

// JoinFaults makes one error of many, in their order; nil if there are none. What
// is one of those joined before counts as what it holds.
func JoinFaults(errs ...error) error {
	var f Faults
	for _, err := range errs {
		f.Add(err)
	}
	if len(f.Told) == 0 && f.More == 0 {
		return nil
	}
	return &f
}

// Add appends one fault, or what is joined in one; nil is none.
func (f *Faults) Add(err error) {
	if err == nil {
		return
	}
	if joined, ok := err.(*Faults); ok { //nolint:errorlint // a wrapped one has a text of its own
		for _, told := range joined.Told {
			f.Add(told)
		}
		f.More += joined.More
		return
	}
	if more := untold(err); more > 0 || len(f.Told) == MaxFaults {
		f.More += max(more, 1)
		return
	}
	f.Told = append(f.Told, err)
}

// untold is how many faults an error stands for that were only counted.
func untold(err error) int {
	switch e := err.(type) { //nolint:errorlint // what wraps one tells of it
	case *SpecError:
		return e.more
	case *Invalid:
		return e.more
	}
	return 0
}

// Unwrap are the faults that are told.
func (f *Faults) Unwrap() []error { return f.Told }

// Error is one fault a line, and how many more there are.
func (f *Faults) Error() string { return f.text("\n", "and %s more") }

// OneLine is Error with "; " between the faults.
func (f *Faults) OneLine() string { return f.text("; ", "and %s more") }

func (f *Faults) text(between, rest string) string {
	const room = 32 // for the count of the others
	var b strings.Builder
	more := f.More
	for i, err := range f.Told {
		text := Clip(Visible(err.Error()), MaxMessage/2)
		if b.Len()+len(between)+len(text)+room > MaxMessage {
			more += len(f.Told) - i
			break
		}
		if i > 0 {
			b.WriteString(between)
		}
		b.WriteString(text)
	}
	if more > 0 {
		if b.Len() > 0 {
			b.WriteString(between)
		}
		fmt.Fprintf(&b, rest, thousands(more))
	}
	return b.String()
}

// thousands is a count with commas: 84,980.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// clipWords shortens the words of an input that stand in a message about it.
func clipWords(args []any) []any {
	out := make([]any, len(args))
	for i, arg := range args {
		switch x := arg.(type) {
		case string:
			arg = Clip(x, maxWord)
		case json.RawMessage:
			arg = Clip(string(x), maxWord)
		case fmt.Stringer:
			arg = Clip(x.String(), maxWord)
		case error:
			arg = Clip(x.Error(), maxText)
		}
		out[i] = arg
	}
	return out
}
