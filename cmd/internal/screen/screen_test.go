package screen

import (
	"os"
	"strings"
	"testing"

	"dynctl/state"
)

// TestClean has what must not reach a terminal, and what must.
func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain\n":                                "plain\n",
		"\x1b[31mred\x1b[m\n":                    "\x1b[31mred\x1b[m\n",
		"\x1b[1;32mok\x1b[0m":                    "\x1b[1;32mok\x1b[0m",
		"\x1b[2mdim":                             "\x1b[2mdim",
		"\x1b[31mred\nnot\n":                     "\x1b[31mred\x1b[m\nnot\n",
		"\x1b]0;title\a":                         `\x1b]0;title\x07`,
		"\x1b]52;c;Y2F0\x1b\\":                   `\x1b]52;c;Y2F0\x1b\`,
		"\x1b]8;;http://x\a":                     `\x1b]8;;http://x\x07`,
		"\x1bP1$r\x1b\\":                         `\x1bP1$r\x1b\`,
		"\x1b[2J\x1b[H":                          `\x1b[2J\x1b[H`,
		"\x1b[8mhidden\x1b[30;40m":               `\x1b[8mhidden\x1b[30;40m`,
		"\x1b[38;5;0m":                           `\x1b[38;5;0m`,
		"\x1b[?1049h\x1b[6n\x1bc\x1b(0":          `\x1b[?1049h\x1b[6n\x1bc\x1b(0`,
		"\u009b31m\u009d0;t\u009c":               `\u009b31m\u009d0;t\u009c`,
		"\x9b31m\x9d0;t\x9c":                     `\x9b31m\x9d0;t\x9c`,
		"over\rwritten\b\b\x7f\x00\v\f":          `over\x0dwritten\x08\x08\x7f\x00\x0b\x0c`,
		"dos\r\nlines\r\n":                       "dos\nlines\n",
		"\u202egpj\u202c\u2066\u2069\u200e":      `\u202egpj\u202c\u2066\u2069\u200e`,
		"\u200b\ufeff\u00ad\U000e0041":           `\u200b\ufeff\u00ad\U000e0041`,
		"日本 👩\u200d🚀 é\t|":                       "日本 👩\u200d🚀 é\t|",
		"\x1b":                                   `\x1b`,
		"\x1b[":                                  `\x1b[`,
		"\x1b[31":                                `\x1b[31`,
		"\x1b[" + strings.Repeat("1;", 40) + "m": `\x1b[` + strings.Repeat("1;", 40) + "m",
	} {
		got := Clean(in)
		if got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
		if again := Clean(got); again != got {
			t.Errorf("%q: cleaned twice it is %q, once %q", in, again, got)
		}
	}
}

// TestAPipeIsLeftAlone: who reads a pipe gets every byte.
func TestAPipeIsLeftAlone(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if New(w) != w {
		t.Error("a pipe is wrapped")
	}
}

// FuzzClean: whatever is written, no control sequence but a style reaches a terminal.
func FuzzClean(f *testing.F) {
	for _, seed := range []string{"", "\x1b[31mx\x1b[m", "\x1b]0;x\a", "\u009b2J", "\x9b", "a\r\nb\rc", "\x1b[1;8m", "\u202e", "\xff\x1b[m\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Clean(s)
		rest := got
		for {
			i := strings.IndexByte(rest, '\x1b')
			if i < 0 {
				break
			}
			n, kind := style(rest[i:])
			if kind == foreign {
				t.Fatalf("%q: %q", s, got)
			}
			rest = rest[:i] + rest[i+n:]
		}
		if state.Visible(rest) != rest {
			t.Fatalf("%q: %q", s, got)
		}
		if Clean(got) != got {
			t.Fatalf("%q: cleaned twice it is %q, once %q", s, Clean(got), got)
		}
	})
}
