package state

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Visible is text in which nothing can change how a terminal or a page shows the
// rest: control characters (C0, DEL and C1), what reorders text, what takes no
// room, and bytes that are not UTF-8 are written as escapes such as \x1b and \u202e.
// Line breaks and tabs stay.
func Visible(s string) string {
	if !hasHidden(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 16)
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case !Hidden(r):
			b.WriteString(s[:size])
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
		s = s[size:]
	}
	return b.String()
}

func hasHidden(s string) bool {
	return !utf8.ValidString(s) || strings.ContainsFunc(s, Hidden)
}

// Hidden reports whether [Visible] escapes a character. The joiner and the variation
// selectors that emoji are made of are left alone, and so is the joiner's opposite,
// which Persian and the Indic scripts are written with.
func Hidden(r rune) bool {
	switch {
	case r == '\n', r == '\t':
		return false
	case r < 0x20, r >= 0x7f && r < 0xa0:
		return true
	case r < 0x300:
		return r == 0xad // soft hyphen
	case r == 0x200c, r == 0x200d:
		return false
	case r == 0x2028, r == 0x2029, r == 0x115f, r == 0x1160, r == 0x3164, r == 0xffa0, r == 0x2800:
		return true // line breaks of their own, and letters that are blank
	case r >= 0xe0000 && r <= 0xe0fff:
		return true // tags, and variation selectors that no font has
	}
	return unicode.Is(unicode.Cf, r) // bidirectional controls, zero width, BOM
}

// Clip is text of at most size bytes: what is longer ends in "…", between characters.
func Clip(s string, size int) string {
	if len(s) <= size {
		return s
	}
	const mark = "…"
	end := max(0, size-len(mark))
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + mark
}
