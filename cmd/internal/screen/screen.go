// Package screen is the one way to a terminal for the programs here.
//
// What a program shows was written by others: labels, logs, events, answers of models.
// On a terminal a character of theirs could set its title, fill its clipboard, move the
// cursor over what was said before or reorder a line. A [Writer] shows such characters
// as escapes and lets pass only what styles text.
package screen

import (
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"dynctl/state"
)

// Writer writes to a terminal. Each Write is taken for itself: a character or an escape
// sequence that it does not hold whole is escaped.
type Writer struct{ file *os.File }

// New is w itself, or a [Writer] where w is a terminal.
func New(w io.Writer) io.Writer {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return &Writer{f}
	}
	return w
}

// File is the terminal, for what draws on it: it has to clean by itself ([Clean]).
func (w *Writer) File() *os.File { return w.file }

// Write implements io.Writer. The count is that of p.
func (w *Writer) Write(p []byte) (int, error) {
	if _, err := io.WriteString(w.file, Clean(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Clean is text as a terminal may get it: nothing in it does more than style letters,
// and a style ends with its line at the latest. Clean of what is clean is the same.
func Clean(s string) string {
	var b strings.Builder
	styled := false
	for s != "" {
		i := strings.IndexByte(s, '\x1b')
		text, rest := s, ""
		if i >= 0 {
			text, rest = s[:i], s[i:]
		}
		styled = plain(&b, text, styled)
		if rest == "" {
			break
		}
		n, kind := style(rest)
		if kind == foreign {
			b.WriteString(state.Visible(rest[:1]))
			s = rest[1:]
			continue
		}
		b.WriteString(rest[:n])
		styled, s = kind == begins, rest[n:]
	}
	return b.String()
}

const reset = "\x1b[m"

// plain writes text without escape sequences, and reports whether a style still holds.
func plain(b *strings.Builder, text string, styled bool) bool {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	for text != "" {
		line, rest, more := strings.Cut(text, "\n")
		b.WriteString(state.Visible(line))
		if !more {
			return styled
		}
		if styled {
			b.WriteString(reset)
			styled = false
		}
		b.WriteByte('\n')
		text = rest
	}
	return styled
}

// styleKind is what an escape sequence does.
type styleKind int

const (
	foreign styleKind = iota // more than style text
	begins
	ends
)

// style reads the escape sequence at the start of s: its length and what it does. Only
// sequences that set the weight, the slant, a line or the colour of letters are
// styles: a background or invisible letters could hide what is said.
func style(s string) (n int, kind styleKind) {
	const longest = 32
	if !strings.HasPrefix(s, "\x1b[") {
		return 0, foreign
	}
	end := strings.IndexByte(s[:min(len(s), longest)], 'm')
	if end < 0 {
		return 0, foreign
	}
	kind = ends
	for i, code := range strings.Split(s[2:end], ";") {
		switch code {
		case "", "0":
			kind = ends
		case "1", "2", "3", "4", "31", "32", "33", "34", "35", "36", "37", "91", "92", "93", "94", "95", "96", "97":
			kind = begins
		case "22", "23", "24", "39", "49":
			if i == 0 {
				kind = begins // something else may still hold
			}
		default:
			return 0, foreign
		}
	}
	return end + 1, kind
}
