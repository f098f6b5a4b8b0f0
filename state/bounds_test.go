package state

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

const modelJSON = `{"apiVersion":"dynctl/v1alpha1","kind":"Model","metadata":{"name":"m"},"spec":{"model":"x"`

// many is n bytes or so of numbered lines or members.
func many(n int, format string) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// hostile are documents of about n bytes that have cost more than their size.
var hostile = map[string]func(n int) string{
	"one key of a label over and over": func(n int) string {
		return strings.Replace(modelJSON, `"name":"m"`, `"name":"m","labels":{`+strings.Repeat(`"k":1,`, n/6)+`"k":1}`, 1) + "}}"
	},
	"unknown fields":         func(n int) string { return modelJSON + many(n, `,"f%07d":1`) + "}}" },
	"unknown fields in YAML": func(n int) string { return modelHead + many(n/12, "  f%06d: 1\n") },
	"labels that are no text": func(n int) string {
		return modelJSON + `,"engineArgs":{}},"metadata":{"labels":{"a":1` + many(n, `,"l%d":2`) + "}}}"
	},
	"managed flags":     func(n int) string { return modelJSON + `,"engineArgs":{"a":1` + many(n, `,"model=%d":2`) + "}}}" },
	"managed variables": func(n int) string { return modelJSON + `,"env":{"a":"1"` + many(n, `,"DYN_NAMESPACE%d":"2"`) + "}}}" },
	"a key of its whole size": func(n int) string {
		return modelJSON + `},"metadata":{"name":"m","labels":{"` + strings.Repeat("k", n) + `":1}}}`
	},
	"a value of its whole size":  func(n int) string { return modelJSON + `,"engine":"` + strings.Repeat("e", n) + `"}}` },
	"a number of its whole size": func(n int) string { return modelJSON + `,"replicas":` + strings.Repeat("9", n) + "}}" },
	"a hexadecimal number":       func(n int) string { return modelHead + "  replicas: 0x" + strings.Repeat("f", n) + "\n" },
	"brackets":                   func(n int) string { return modelHead + "  engineArgs: " + strings.Repeat("[", n) },
	"broken JSON":                func(n int) string { return modelJSON + many(n, `,"f%d":1`) },
	"broken YAML":                func(n int) string { return modelHead + strings.Repeat("  a: b: c\n", n/10) },
	"tags":                       func(n int) string { return modelHead + "  a: {" + strings.Repeat("!!str ", n/6) },
	"blank lines in text":        func(n int) string { return modelHead + "  a: |\n    x" + strings.Repeat("\n", n) },
	"lines of blanks in text":    func(n int) string { return modelHead + "  a: >\n    x\n" + strings.Repeat("  \n", n/3) },
	"few blank lines in text": func(n int) string {
		return modelHead + strings.Repeat("  a: |\n    "+strings.Repeat("x", 4000)+strings.Repeat("\n", maxBlank), n/4300)
	},
	"one line": func(n int) string { return modelHead + "  a: " + strings.Repeat("b ", n/2) + ": c\n" },
	"aliases":  func(n int) string { return modelHead + "  a: &a [1,2,3]\n  b: [" + strings.Repeat("*a,", n/30) + "]\n" },
	"aliases of aliases": func(int) string {
		s := modelHead + "  engineArgs:\n    a0: &a0 [1,1]\n"
		for i := range 60 {
			s += fmt.Sprintf("    a%d: &a%d [*a%d,*a%d]\n", i+1, i+1, i, i)
		}
		return s
	},
	"documents":             func(n int) string { return strings.Repeat("---\na: b\n", n/9) },
	"documents on one line": func(n int) string { return strings.Repeat(`{"a":1}`, n/7) },
	"no UTF-8":              func(n int) string { return modelHead + "  a: " + strings.Repeat("\xff", n) },
	"control characters":    func(n int) string { return modelJSON + many(n, `,"\u001b]52;c;\u202e\u0085%d":1`) + "}}" },
}

// TestDecodeIsBounded: whatever a value holds, reading it and saying what is wrong
// with it costs a bounded time and memory, and a text that fits into a status.
func TestDecodeIsBounded(t *testing.T) {
	for name, document := range hostile {
		t.Run(name, func(t *testing.T) {
			text := []byte(document(MaxValueSize - 10<<10))
			spent, allocated, err := costOf(text)
			if err == nil {
				t.Error("it is taken")
			} else {
				checkText(t, err.Error())
			}
			if spent > 10*time.Second || allocated > 400<<20 {
				t.Errorf("%d bytes took %v and %d MB", len(text), spent, allocated>>20)
			}
		})
	}
}

// TestDecodeIsLinear: four times as much takes about four times as long.
func TestDecodeIsLinear(t *testing.T) {
	for name, document := range hostile {
		t.Run(name, func(t *testing.T) {
			const size = MaxValueSize / 4
			quarter, whole := time.Hour, time.Hour
			for range 3 {
				spent, _, _ := costOf([]byte(document(4 * size)))
				if whole = min(whole, spent); whole < time.Second {
					return // less says nothing on a busy machine
				}
				spent, _, _ = costOf([]byte(document(size)))
				quarter = min(quarter, spent)
			}
			if whole > 7*quarter { // quadratic would be 16 times
				t.Errorf("%v for %d bytes, %v for four times as many", quarter, size, whole)
			}
		})
	}
}

// costOf reads and validates a file.
func costOf(text []byte) (spent time.Duration, allocated uint64, err error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := cpuTime()
	docs, err := Decode("file", text)
	errs := []error{err}
	for _, d := range docs {
		for _, invalid := range ValidateModel(d.Object.Model.WithDefaults(), DefaultedServer("default").Spec) {
			errs = append(errs, d.Place(invalid))
		}
	}
	err = JoinFaults(errs...)
	if err != nil {
		_ = err.Error()
	}
	spent = cpuTime() - began
	runtime.ReadMemStats(&after)
	return spent, after.TotalAlloc - before.TotalAlloc, err
}

// cpuTime is what this process has used: other programs on the machine do not count.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// checkText fails unless a text can be shown, stored and read by a person.
func checkText(t *testing.T, text string) {
	t.Helper()
	if len(text) > MaxMessage {
		t.Errorf("the text has %d bytes", len(text))
	}
	if !utf8.ValidString(text) {
		t.Errorf("the text is not UTF-8: %.300q", text)
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) }) {
		t.Errorf("the text holds control characters: %.300q", text)
	}
	if strings.Count(text, "\n") > 3*MaxFaults+1 {
		t.Errorf("the text has %d lines", strings.Count(text, "\n"))
	}
}

// TestFaultsAreCounted: the first 20 are told, and how many more there are.
func TestFaultsAreCounted(t *testing.T) {
	_, err := Decode("f", []byte(hostile["one key of a label over and over"](510_000)))
	text := err.Error()
	told := strings.Count(text, "stands twice")
	if told < 5 || told > MaxFaults {
		t.Errorf("%d faults are told", told)
	}
	if want := "and " + thousands(85_001-told) + " more"; !strings.HasSuffix(text, want) {
		t.Errorf("want it to end with %q, got ...%q", want, text[len(text)-60:])
	}
	var f faults
	for i := range 100 {
		f.add(ReasonManagedFlag, fmt.Sprint("spec.", i), "wrong")
	}
	if n := len(f); n != MaxFaults+1 || f[n-1].Error() != "and 80 more" {
		t.Errorf("%d rules, the last %q", n, f[n-1])
	}
}

// TestFaultsKeepTheirPlace: what is told of a long line is the window around the
// place, with the caret under it.
func TestFaultsKeepTheirPlace(t *testing.T) {
	text := modelJSON + `,"engineArgs":{"a":1` + many(400_000, `,"f%d":1`) + `},"replica":1}}`
	_, err := Decode("f", []byte(text))
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 3 || len(lines[1]) > 140 {
		t.Fatalf("got %.500q", lines)
	}
	caret := strings.Index(lines[2], "^")
	if !strings.HasPrefix(lines[1][caret:], `"replica"`) {
		t.Errorf("the caret is at %q", lines[1][caret:])
	}
}

// TestBigValidSpecs: a large spec that is right is bounded as well. It needs up to 0.4 s
// of a processor, and four times that with the race detector.
func TestBigValidSpecs(t *testing.T) {
	labels := many(200_000, `,"label-%d":"v"`)
	for name, text := range map[string]string{
		"engineArgs":          modelJSON + `,"engineArgs":{"a":1` + many(500_000, `,"x%d":1`) + "}}}",
		"one argument":        modelJSON + `,"engineArgs":{"a":"` + strings.Repeat("x", 130_000) + `"}}}`,
		"arguments of roles":  modelJSON + `,"mode":"disagg","engineArgs":{"a":1` + many(160_000, `,"x%d":1`) + `},"prefill":{"engineArgs":{"a":1` + many(160_000, `,"x%d":1`) + `}},"decode":{"engineArgs":{"a":1` + many(160_000, `,"x%d":1`) + "}}}}",
		"env":                 modelJSON + `,"env":{"a":"1"` + many(500_000, `,"E%d":"1"`) + "}}}",
		"dynamoArgs":          modelJSON + `,"dynamoArgs":{"a":1` + many(500_000, `,"x%d":1`) + "}}}",
		"runtimeEnv":          modelJSON + `,"runtimeEnv":{"env_vars":{"a":"1"` + many(500_000, `,"E%d":"1"`) + "}}}}",
		"runtimeEnv's keys":   modelJSON + `,"runtimeEnv":{"a":"1"` + many(500_000, `,"E%d":"1"`) + "}}}",
		"nodeSelector":        modelJSON + `,"placement":{"nodeSelector":{"a":"1"` + many(500_000, `,"E%d":"1"`) + "}}}}",
		"labels":              strings.Replace(modelJSON, `"name":"m"`, `"name":"m","labels":{"a":"b"`+labels+"}", 1) + "}}",
		"labels as YAML":      "apiVersion: dynctl/v1alpha1\nkind: Model\nmetadata:\n  name: m\n  labels:\n" + many(210_000, "    label-%05d: vvvvv\n") + "spec: {model: x}\n",
		"text with few lines": modelHead + "  engineArgs:\n    a: |\n" + strings.Repeat("      x\n", 60_000),
	} {
		t.Run(name, func(t *testing.T) {
			if spent, _, err := costOf([]byte(text)); err != nil || spent > 5*time.Second {
				t.Errorf("%v, %v", spent, err)
			} else {
				t.Log(spent)
			}
		})
	}
}

// TestManyDocuments: a file of more documents than a store takes is refused at once,
// and one of as many as it takes is read with few of them in memory.
func TestManyDocuments(t *testing.T) {
	for _, text := range []string{strings.Repeat("a: b\n---\n", 1_000_000), strings.Repeat("{}", 1_000_000)} {
		spent, allocated, err := costOf([]byte(text))
		if err == nil || !strings.Contains(err.Error(), "more than 20,000 documents") {
			t.Fatalf("got %v", err)
		}
		if spent > 10*time.Second || allocated > 200<<20 {
			t.Errorf("%v, %d MB", spent, allocated>>20)
		}
	}
	for d := range must(DecodeSeq("f", []byte(strings.Repeat("{\"a\":1}\n", MaxDocuments)))) {
		if len(d.Errs) == 0 {
			t.Fatalf("%+v is taken", d)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestVisible: nothing that steers a terminal passes, and what people write does.
func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"plain\n\ttext": "plain\n\ttext", "日本 é 👩‍🚀 🇩🇪 ❤️ می\u200cخواهم": "日本 é 👩‍🚀 🇩🇪 ❤️ می\u200cخواهم", "\u00a0": "\u00a0",
		"\x1b]0;x\a": `\x1b]0;x\x07`, "\u009b31m": `\u009b31m`, "\x9b31m": `\x9b31m`, "a\rb\bc\x7f": `a\x0db\x08c\x7f`,
		"\u202eabc\u2066\u200f": `\u202eabc\u2066\u200f`, "\u200b\ufeff\u2060": `\u200b\ufeff\u2060`, "\U000e0041": `\U000e0041`,
		"\xff\xfe": `\xff\xfe`, "\x00": `\x00`, "\u2028": `\u2028`,
	} {
		if got := Visible(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	if raw, _ := json.Marshal(Visible("\x1b")); string(raw) != `"\\x1b"` {
		t.Error(string(raw))
	}
	if got := Clip("ééé", 5); got != "é…" {
		t.Errorf("got %q", got)
	}
}
