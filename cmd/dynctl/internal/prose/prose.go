// Package prose writes counts, times, lists and errors as a person reads them.
package prose

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Age is how long ago t was, in one unit that a person can take in: 12s, 5m, 3h,
// 4d. An unknown time has no age.
func Age(now, t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return Span(now.Sub(t))
}

// Span is a duration in one unit.
func Span(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// List is a list in a sentence.
func List(parts []string) string { return strings.Join(parts, ", ") }

// OrDash stands in for an empty cell.
func OrDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// FirstLine is a text up to its first line break.
func FirstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// LastLine is the last line of a text that is not blank.
func LastLine(s string) string {
	s = strings.TrimRight(s, "\n ")
	return s[strings.LastIndex(s, "\n")+1:]
}

// ShortID is as much of Ray's id of a node as tells it from others.
func ShortID(id string) string { return id[:min(12, len(id))] }

// WithHint is why something ended, and what to do about it where that is known.
func WithHint(cause, hint string) string {
	if hint == "" {
		return cause
	}
	return cause + "; " + hint
}

// JSONError adds the line to an error of syntax in data; other errors stay as they are.
func JSONError(data []byte, err error) error {
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return err
	}
	line := 1 + strings.Count(string(data[:syntax.Offset]), "\n")
	return fmt.Errorf("line %d: %w", line, err)
}
