package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/state"
	"dynctl/state/engineflags"
)

// argFields are the ends of the paths of fields whose keys are flags of a program.
var argFields = []string{".engineArgs", ".dynamoArgs", ".frontend.args", ".router.args"}

// argsField splits the path of an argument into the field that holds it and the key,
// which may hold dots of its own and is empty where the field alone is named. Fields
// are found as explain finds all of them: by their end, in any case.
func argsField(path string) (field, key string, ok bool) {
	parts := strings.Split(path, ".")
	for i := range parts {
		found, _, err := findFields(strings.Join(parts[:i+1], "."))
		if err != nil {
			return "", "", false
		}
		if slices.ContainsFunc(argFields, func(end string) bool { return strings.HasSuffix(found[0].path, end) }) {
			return found[0].path, strings.Join(parts[i+1:], "."), true
		}
	}
	return "", "", false
}

// argsPrograms are the programs whose flags a field holds: the engine that was asked
// for, else every engine; the frontend where the field is a server's.
func argsPrograms(field, engine string) ([]string, error) {
	if strings.HasPrefix(field, "server.") {
		if engine != "" {
			return nil, exit.Usagef("--engine goes with engineArgs and dynamoArgs: %s are flags of dynamo.frontend", field)
		}
		return []string{engineflags.Frontend}, nil
	}
	if engine == "" {
		return state.Engines(), nil
	}
	if !slices.Contains(state.Engines(), engine) {
		hint := ""
		if best := state.Nearest(engine, state.Engines()); best != "" {
			hint = "; did you mean " + best + "?"
		}
		return nil, exit.Usagef("no engine %q: there are %s%s", engine, strings.Join(state.Engines(), ", "), hint)
	}
	return []string{engine}, nil
}

// explainArgument explains what the programs' own parsers say of an argument.
func (a *app) explainArgument(field, key string, programs []string) error {
	found, without, err := argumentOf(field, key, programs)
	if err != nil {
		return err
	}
	for i, x := range found {
		if i > 0 {
			fmt.Fprintln(a.out)
		}
		a.argument(x)
	}
	if len(without) > 0 {
		fmt.Fprintf(a.out, "\nNot an argument of %s.\n", strings.Join(without, ", "))
	}
	return nil
}

// argumentOf is an argument as each program that has it knows it, and the programs
// that do not. None at all is an error.
func argumentOf(field, key string, programs []string) (known []explanation, without []string, err error) {
	for _, program := range programs {
		found, ok := findArgument(program, key)
		switch {
		case state.PlacesOnly(program, key):
			known = append(known, explanation{
				Kind: kindArgument, Name: field + "." + key, Type: []string{"int"}, Program: program,
				Text: "counts GPUs and shapes the placement; it is on no command line",
			})
		case ok:
			known = append(known, argumentExplanation(field, program, found))
		default:
			without = append(without, program)
		}
	}
	if len(known) == 0 {
		return nil, nil, unknownArgument(field, key, programs)
	}
	return known, without, nil
}

// unknownArgument is the error for an argument that no program knows, with what was meant where
// one can tell.
func unknownArgument(field, key string, programs []string) error {
	list := "dynctl explain " + field
	if programs[0] != engineflags.Frontend {
		engine := "ENGINE"
		if len(programs) == 1 {
			engine = programs[0]
		}
		list += " --engine " + engine
	}
	var guides []string
	for _, program := range programs {
		text, guided := state.UnknownArgument(program, key)
		if guided {
			guides = append(guides, text)
		} else if len(programs) == 1 {
			return exit.NotFoundf("%s; %s lists what it has", text, list)
		}
	}
	if len(guides) == 0 {
		return exit.NotFoundf("no engine has the argument %s; %s lists what it has", key, list)
	}
	return exit.NotFoundf("%s", strings.Join(guides, "\n"))
}

// findArgument finds a flag as a spec or a command line may spell it.
func findArgument(program, key string) (engineflags.Found, bool) {
	table := engineflags.Recorded(program)
	key = strings.TrimLeft(key, "-")
	for _, k := range []string{key, strings.ToLower(key)} {
		if found, ok := table.Find(k); ok && found.Ambiguous == nil && !found.Joined {
			return found, true
		}
	}
	return engineflags.Found{}, false
}

func (a *app) argument(x explanation) {
	fmt.Fprintf(a.out, "%s  %s\n", a.style.bold(x.Name), strings.Join(x.Type, " | "))
	if x.Source == "" {
		fmt.Fprintf(a.out, "  engine: %s\n  %s\n", x.Program, x.Text)
		return
	}
	row := func(label, text string) {
		if text != "" {
			fmt.Fprintln(a.out, wrap(label+": "+text, "  ", a.width()))
		}
	}
	row("read from", x.Source)
	switch {
	case x.Instead != "":
		row("set by dynctl", "arguments may not name it; use "+x.Instead)
	case x.Managed:
		row("set by dynctl", "arguments may not name it")
	}
	row("takes", x.Takes)
	row("default", string(x.Default))
	row("other names", strings.Join(x.OtherNames, ", "))
	row("command line", x.CommandLine)
	row("off", x.Off)
}

// programSource names a program and the versions that its parser was read from.
func programSource(program string) string {
	return "dynamo." + program + " of " + engineflags.Recorded(program).Source()
}

// listArguments lists what a program takes as arguments of a field.
func (a *app) listArguments(program string) {
	fmt.Fprintf(a.out, "\nArguments, from %s:\n", programSource(program))
	var t table
	for _, f := range state.Arguments(program) {
		names := f.Key()
		if others := f.Aliases(); len(others) > 0 {
			names += " (" + strings.Join(others, ", ") + ")"
		}
		t.add("  "+names, string(f.Kind), defaultOf(f))
	}
	t.write(a.out)
}

// defaultOf is a default that fits in a table.
func defaultOf(f engineflags.Flag) string {
	const most = 30
	if f.Default == nil || len(f.Default) > most {
		return ""
	}
	return "default " + string(f.Default)
}

// argsAt is the field of arguments that a path names, the argument in it, and the
// programs that may know it; the field is empty where the path names another one.
func argsAt(path, engine string) (field, key string, programs []string, err error) {
	field, key, ok := argsField(path)
	switch {
	case ok:
		programs, err = argsPrograms(field, engine)
		return field, key, programs, err
	case engine != "":
		return "", "", nil, exit.Usagef("--engine goes with engineArgs and dynamoArgs, as in dynctl explain engineArgs.NAME --engine %s", engine)
	}
	return "", "", nil, nil
}

// explainArgs explains a field of arguments or one of them, if a path names that.
func (a *app) explainArgs(path, engine string) (done bool, err error) {
	field, key, programs, err := argsAt(path, engine)
	if err != nil || field == "" {
		return err != nil, err
	}
	if key != "" {
		return true, a.explainArgument(field, key, programs)
	}
	if err := a.explainFields(path); err != nil {
		return true, err
	}
	if len(programs) > 1 {
		fmt.Fprintf(a.out, "\nTheir names: dynctl explain %s --engine ENGINE (%s)\n", path, strings.Join(programs, ", "))
		return true, nil
	}
	a.listArguments(programs[0])
	return true, nil
}

// argumentKeys are all names of arguments of a program, those that shape the placement
// alone among them.
func argumentKeys(program string) []string {
	var keys []string
	for _, f := range state.Arguments(program) {
		keys = append(keys, f.Keys()...)
	}
	for _, k := range []string{"tensor_parallel_size", "pipeline_parallel_size"} {
		if state.PlacesOnly(program, k) {
			keys = append(keys, k)
		}
	}
	return keys
}

// completeArguments offers the arguments below a field, of the engine that was
// chosen or of all.
func completeArguments(cmd *cobra.Command, typed string) ([]string, bool) {
	field, key, ok := argsField(typed)
	if !ok || !strings.HasSuffix(typed, "."+key) {
		return nil, false
	}
	engine, err := cmd.Flags().GetString("engine")
	if err != nil {
		return nil, false
	}
	programs, err := argsPrograms(field, engine)
	if err != nil {
		return nil, true
	}
	before, wanted := strings.TrimSuffix(typed, key), strings.ReplaceAll(key, "-", "_")
	var out []string
	for _, program := range programs {
		for _, k := range argumentKeys(program) {
			if strings.HasPrefix(k, wanted) {
				out = append(out, before+k)
			}
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(out))), true
}
