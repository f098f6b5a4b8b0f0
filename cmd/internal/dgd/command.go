package dgd

import (
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"dynctl/state"
)

// command is what a component runs, as far as it can be told without running it.
type command struct {
	// module is the part after "dynamo.": frontend, or an engine; empty where the
	// command starts no Dynamo component.
	module string
	args   []string
	// before are the words in front of "-m", where they are more than an interpreter.
	before []string
	env    []envVar // that its shell sets
	// computed are the words that only the running pod can tell, as they are written.
	computed []string
	// others reports whether the shell runs more than this one program.
	others bool
}

var shells = []string{"sh", "bash", "dash", "zsh"}

// readCommand reads the words of a container's command and args. framework is what
// the deployment says of all its components, vars what the container's variables are.
func readCommand(words []string, framework string, vars variables) command {
	var untold []string
	words = slices.Clone(words)
	for i, w := range words {
		var told bool
		if words[i], told = vars.inWord(w); !told {
			untold = append(untold, words[i])
		}
	}
	if len(words) > 0 && slices.Contains(shells, path.Base(words[0])) {
		if i := slices.IndexFunc(words, func(w string) bool { return shellScript.MatchString(w) }); i > 0 && i+1 < len(words) {
			// What follows the script is $0, then "$@".
			rest := words[i+2:]
			return readScript(words[i+1], rest[min(1, len(rest)):], vars)
		}
	}
	c := command{computed: untold}
	c.module, c.args, c.before = dynamoModule(words)
	if c.module == "" && framework != "" && len(words) > 0 && strings.HasPrefix(words[0], "-") {
		// Flags alone go to what the image starts.
		c.module, c.args = framework, words
	}
	return c
}

// shellScript is the option that says that a script follows: -c, -lc, -ec, ...
var shellScript = regexp.MustCompile(`^-[a-z]*c$`)

// dynamoModule finds "-m dynamo.NAME" and returns the words behind it, and those
// before it that are more than the name of an interpreter.
func dynamoModule(words []string) (module string, args, before []string) {
	for i, w := range words {
		if i > 0 && words[i-1] == "-m" {
			if name, ok := strings.CutPrefix(w, "dynamo."); ok {
				return name, words[i+1:], moreThanPython(words[:i-1])
			}
		}
	}
	return "", nil, nil
}

func moreThanPython(words []string) []string {
	if len(words) > 0 && words[0] == "exec" {
		words = words[1:]
	}
	if len(words) == 1 && (words[0] == "python" || words[0] == "python3") {
		return nil
	}
	return words
}

// readScript finds the one command of a shell script that starts a Dynamo
// component. positional are its "$@".
func readScript(script string, positional []string, vars variables) command {
	vars = maps.Clone(vars)
	file, err := syntax.NewParser().Parse(strings.NewReader(script), "")
	if err != nil {
		return command{computed: []string{script}}
	}
	var found command
	var env []envVar
	calls := 0
	syntax.Walk(file, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.CmdSubst: // what it runs makes a word
			return false
		case *syntax.DeclClause:
			env = append(env, vars.assigned(n.Args)...)
		case *syntax.CallExpr:
			if len(n.Args) == 0 {
				vars.assigned(n.Assigns)
				return true
			}
			calls++
			c := command{}
			words := c.words(n.Args, positional, vars)
			if c.module, c.args, c.before = dynamoModule(words); c.module != "" && found.module == "" {
				c.env = slices.Concat(env, maps.Clone(vars).assigned(n.Assigns))
				found = c
			}
		}
		return true
	})
	found.others = calls > 1
	return found
}

// words are the words that can be told; what else a shell has to compute is set aside.
func (c *command) words(words []*syntax.Word, positional []string, vars variables) []string {
	var out []string
	for _, w := range words {
		switch fields, ok := vars.fields(w); {
		case ok:
			out = append(out, fields...)
		case isAllArguments(w):
			out = append(out, positional...)
		default:
			text := printed(w)
			c.computed = append(c.computed, text)
			out = append(out, text)
		}
	}
	return out
}

func isAllArguments(w *syntax.Word) bool {
	text := printed(w)
	return text == `"$@"` || text == "$@" || text == `"${@}"`
}

func printed(n syntax.Node) string {
	var b strings.Builder
	// A strings.Builder takes everything.
	_ = syntax.NewPrinter().Print(&b, n)
	return b.String()
}

// engineOf is the engine that a module starts; empty for another one.
func engineOf(module string) string {
	name, _, _ := strings.Cut(module, ".")
	switch name {
	case state.EngineVLLM, state.EngineSGLang, state.EngineTRTLLM, state.EngineMocker:
		return name
	}
	return ""
}
