package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

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
			return nil, usageErr("--engine goes with engineArgs and dynamoArgs: %s are flags of dynamo.frontend", field)
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
		return nil, usageErr("no engine %q: there are %s%s", engine, strings.Join(state.Engines(), ", "), hint)
	}
	return []string{engine}, nil
}

// explainArgument explains what the programs' own parsers say of an argument.
func (a *app) explainArgument(field, key string, programs []string) error {
	var without []string
	for i, program := range programs {
		found, ok := findArgument(program, key)
		placement := state.PlacesOnly(program, key)
		if !ok && !placement {
			without = append(without, program)
			continue
		}
		if i > len(without) {
			fmt.Fprintln(a.out)
		}
		if placement {
			fmt.Fprintf(a.out, "%s  int\n  engine: %s\n  counts GPUs and shapes the placement; it is on no command line\n", a.style.bold(field+"."+key), program)
			continue
		}
		a.argument(field, program, found)
	}
	switch {
	case len(without) == len(programs):
		return unknownArgument(field, key, programs)
	case len(without) > 0:
		fmt.Fprintf(a.out, "\nNot an argument of %s.\n", strings.Join(without, ", "))
	}
	return nil
}

// unknownArgument says that no program knows an argument, with what was meant where
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
			return notFoundErr("%s; %s lists what it has", text, list)
		}
	}
	if len(guides) == 0 {
		return notFoundErr("no engine has the argument %s; %s lists what it has", key, list)
	}
	return notFoundErr("%s", strings.Join(guides, "\n"))
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

func (a *app) argument(field, program string, f engineflags.Found) {
	name, line := f.Key(), f.OnTheLine()
	if f.Path != "" {
		name, line = name+"."+f.Path, "--"+f.Name()+"."+f.Path+" VALUE"
	}
	fmt.Fprintf(a.out, "%s  %s\n", a.style.bold(field+"."+name), f.Kind)
	row := func(label, text string) {
		if text != "" {
			fmt.Fprintln(a.out, wrap(label+": "+text, "  ", a.width()))
		}
	}
	row("read from", programSource(program))
	switch where, managed := state.ManagedArgument(program, f); {
	case managed && where != "":
		row("set by dynctl", "arguments may not name it; use "+where)
	case managed:
		row("set by dynctl", "arguments may not name it")
	}
	if f.Path != "" {
		row("takes", "one key of the object that "+f.Key()+" takes; the program knows which")
	} else {
		row("takes", f.Wants())
		row("default", string(f.Default))
		row("other names", strings.Join(f.Aliases(), ", "))
	}
	row("command line", line)
	if f.Path == "" {
		row("off", f.SwitchedOff())
	}
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

// explainArgs explains a field of arguments or one of them, if a path names that.
func (a *app) explainArgs(path, engine string) (done bool, err error) {
	field, key, ok := argsField(path)
	if !ok {
		if engine != "" {
			return true, usageErr("--engine goes with engineArgs and dynamoArgs, as in dynctl explain engineArgs.NAME --engine %s", engine)
		}
		return false, nil
	}
	programs, err := argsPrograms(field, engine)
	if err != nil {
		return true, err
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
		for _, f := range state.Arguments(program) {
			for _, k := range f.Keys() {
				if strings.HasPrefix(k, wanted) {
					out = append(out, before+k)
				}
			}
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(out))), true
}
