package engineflags

import (
	"embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Programs whose tables are recorded: python -m dynamo.<program>.
const (
	VLLM     = "vllm"
	SGLang   = "sglang"
	TRTLLM   = "trtllm"
	Mocker   = "mocker"
	Frontend = "frontend"
)

// Processor is the program under which the words are recorded that the frontend hands
// to the engine that it processes chats with.
func Processor(engine string) string { return Frontend + "-" + engine }

// Table is the command line of one program.
type Table struct {
	Program string `json:"program"`
	// Versions are those of the packages that the table was read from, by name.
	Versions map[string]string `json:"versions"`
	// Parsers see the words one after the other, each what the one before left.
	Parsers []Parser `json:"parsers"`
	// FromNodes: the table was read on the nodes that run the program, so that what
	// it does not know is refused there.
	FromNodes bool `json:"-"`

	// exact finds a flag by an option: long ones in the "-" spelling, short ones.
	exact map[string]Found
	// begins are the options of each parser, for what begins one.
	begins [][]begin
	// known are all beginnings of all options: most keys that are no flag are none.
	known map[string]bool
}

// begin is an option in the "-" spelling, and the option.
type begin struct {
	dashed, option string
	flag           int
}

// Parser is one parser of a program.
type Parser struct {
	// Abbreviations: an unambiguous beginning of an option counts as the option.
	Abbreviations bool `json:"abbreviations"`
	// Dotted: "--flag.key value" sets one key of a flag that takes an object.
	Dotted bool   `json:"dotted"`
	Flags  []Flag `json:"flags"`
}

// Flag is one flag of a program.
type Flag struct {
	// Names are its options, "--" or "-" included. The first with "--" names it.
	Names []string `json:"names"`
	// Dest is where its value goes, where that is not one of its names: two flags
	// with one Dest overwrite each other.
	Dest string `json:"dest,omitempty"`
	Kind Kind   `json:"kind"`
	// Nargs is how many words it takes: "" one, "?" at most one, "*" any number, "+"
	// at least one, or a number.
	Nargs string `json:"nargs,omitempty"`
	// Besides are words that it takes although its kind does not.
	Besides []string `json:"besides,omitempty"`
	// Choices are the only words that it takes, where there are any.
	Choices []string `json:"choices,omitempty"`
	// Repeats: it may be given several times, and each counts.
	Repeats bool `json:"repeats,omitempty"`
	// Default is what holds where it is not given, if that is known and not null.
	Default json.RawMessage `json:"default,omitempty"`
}

// Kind is what one word of a flag may be.
type Kind string

// Kinds of flags. The first three take no word.
const (
	KindSwitch   Kind = "switch"        // on where it stands; nothing turns it off
	KindOptional Kind = "bool-optional" // --flag and --no-flag
	KindExit     Kind = "exit"          // prints something and ends the program
	KindText     Kind = "text"
	KindInt      Kind = "int"
	KindSize     Kind = "size" // a whole number, also as 8k or 2M
	KindFloat    Kind = "float"
	KindBool     Kind = "bool"   // a word such as true or false
	KindJSON     Kind = "json"   // any JSON value
	KindConfig   Kind = "config" // a JSON object whose keys the engine knows
)

//go:embed recorded/*.json
var files embed.FS

// recorded are decoded when they are asked for: most commands of dynctl ask for none.
var recorded = func() map[string]func() *Table {
	out := map[string]func() *Table{}
	for _, program := range []string{VLLM, SGLang, TRTLLM, Mocker, Frontend, Processor(VLLM), Processor(SGLang)} {
		out[program] = sync.OnceValue(func() *Table { return load(program) })
	}
	return out
}()

func load(program string) *Table {
	var t *Table
	data, err := files.ReadFile("recorded/" + program + ".json")
	if err == nil {
		t, err = Parse(data)
	}
	if err != nil {
		panic(fmt.Sprintf("the recorded table of %s: %v", program, err)) // a file of this package
	}
	return t
}

// Recorded is the embedded table of a program, nil where there is none. It is
// shared and must not be changed.
func Recorded(program string) *Table {
	if table := recorded[program]; table != nil {
		return table()
	}
	return nil
}

// Parse reads a table.
func Parse(data []byte) (*Table, error) {
	t := &Table{}
	if err := json.Unmarshal(data, t); err != nil {
		return nil, err
	}
	for _, p := range t.Parsers {
		for _, f := range p.Flags {
			if len(f.Names) == 0 || f.Kind == "" {
				return nil, fmt.Errorf("a flag of %s has no name or no kind", t.Program)
			}
		}
	}
	t.index()
	return t, nil
}

func (t *Table) index() {
	t.exact, t.begins, t.known = map[string]Found{}, make([][]begin, len(t.Parsers)), map[string]bool{}
	for i, p := range t.Parsers {
		for j, f := range p.Flags {
			for _, option := range f.Names {
				t.begins[i] = append(t.begins[i], begin{dashed(option), option, j})
				for end := range dashed(option) {
					t.known[dashed(option)[:end+1]] = true
				}
				found := Found{Flag: f, Option: option, Off: f.turnsOff(option), Negative: p.negative(f)}
				if !strings.HasPrefix(option, "--") {
					found.Option = "--" + f.Name()
				}
				if _, taken := t.exact[dashed(option)]; !taken {
					t.exact[dashed(option)] = found
				}
			}
		}
	}
}

// Set is the tables that were read on the nodes, by program. The nil Set has none.
type Set map[string]*Table

// For is the table of a program: the one of the nodes, else the recorded one.
func (s Set) For(program string) *Table {
	if t := s[program]; t != nil {
		return t
	}
	return Recorded(program)
}

// Source says what the table was read from: "vllm 0.31.0 (ai-dynamo 1.6.0)".
func (t *Table) Source() string {
	dynamo := "ai-dynamo " + t.Versions["ai-dynamo"]
	if v := t.Versions[t.Program]; v != "" {
		return t.Program + " " + v + " (" + dynamo + ")"
	}
	return dynamo
}

// Flags are all flags of a table, sorted by name.
func (t *Table) Flags() []Flag {
	var out []Flag
	if t == nil {
		return nil
	}
	for _, p := range t.Parsers {
		out = append(out, p.Flags...)
	}
	slices.SortFunc(out, func(a, b Flag) int { return strings.Compare(a.Name(), b.Name()) })
	return out
}

// Then is a table whose words go on to the last parser of another: how a frontend
// hands what it does not know to the engine that it processes chats with.
func (t *Table) Then(next *Table) *Table {
	if t == nil || next == nil || len(next.Parsers) == 0 {
		return t
	}
	out := *t
	out.Parsers = append(slices.Clone(t.Parsers), next.Parsers[len(next.Parsers)-1])
	out.FromNodes = t.FromNodes && next.FromNodes
	out.index()
	return &out
}

// Name is the flag's first option with "--", without it: "tensor-parallel-size".
func (f Flag) Name() string {
	for _, n := range f.Names {
		if long, ok := strings.CutPrefix(n, "--"); ok {
			return long
		}
	}
	return strings.TrimLeft(f.Names[0], "-")
}

// Key is Name as a spec writes it: "tensor_parallel_size".
func (f Flag) Key() string { return strings.ReplaceAll(f.Name(), "-", "_") }

// Aliases are the other keys of the flag, without those that turn it off.
func (f Flag) Aliases() []string {
	var out []string
	for _, n := range f.Names {
		if f.turnsOff(n) {
			continue
		}
		key := strings.ReplaceAll(strings.TrimLeft(n, "-"), "-", "_")
		if key != f.Key() && !slices.Contains(out, key) {
			out = append(out, key)
		}
	}
	return out
}

// ID is the same for two flags that set one thing.
func (f Flag) ID() string {
	if f.Dest != "" {
		return f.Dest
	}
	return f.Key()
}

// Bare reports whether the flag takes no word.
func (f Flag) Bare() bool {
	return f.Kind == KindSwitch || f.Kind == KindOptional || f.Kind == KindExit
}

// Many reports whether the flag takes several words.
func (f Flag) Many() bool { return f.Nargs != "" && f.Nargs != "?" }

// Object reports whether the flag takes a JSON object, which dotted keys can set.
func (f Flag) Object() bool {
	return f.Kind == KindJSON || f.Kind == KindConfig ||
		f.Kind == KindText && len(f.Default) > 0 && f.Default[0] == '{'
}

// turnsOff reports whether an option is the negative form of a flag with two.
func (f Flag) turnsOff(option string) bool {
	positive, ok := strings.CutPrefix(option, "--no-")
	return ok && f.Kind == KindOptional && slices.Contains(f.Names, "--"+positive)
}
