package state

import (
	"slices"
	"strings"

	"dynctl/state/engineflags"
)

// What the programs' own parsers say of arguments. Where a table does not know a
// flag it may come from a plugin or a newer version, so a recorded table warns; a
// table of the nodes refuses, as the program would.

// frontendTable is the command line of the frontend of a server: what it does not
// know goes to the parser of the engine that it processes chats with.
func frontendTable(s ServerSpec, tables engineflags.Set) *engineflags.Table {
	t := tables.For(engineflags.Frontend)
	for _, x := range slices.Concat(s.Router.Args, s.Frontend.Args) {
		if processor := jsonText(x.Value); strings.HasSuffix(flagName(x.Key), "chat-processor") && (processor == EngineVLLM || processor == EngineSGLang) {
			return t.Then(tables.For(processor))
		}
	}
	return t
}

// FrontendTable is the command line that the frontend of a server takes.
func (s ServerSpec) FrontendTable(tables engineflags.Set) *engineflags.Table {
	return frontendTable(s, tables)
}

// placesOnly reports whether an argument shapes the placement of a worker alone,
// and is on no command line.
func placesOnly(engine, key string) bool {
	return engine == EngineMocker && ParallelFlag(engine, key)
}

// parserArgs adds a fault for each argument that the program's parser refuses, or
// would take for another.
func (f *faults) parserArgs(program string, field argField, t *engineflags.Table, managed []managedFlagSpec) {
	if t == nil {
		return
	}
	var before []Arg
	for _, x := range field.args {
		at := field.path + "." + x.Key
		if isNull(x.Value) || f.has(at) || placesOnly(program, x.Key) {
			continue
		}
		found, known := t.Find(x.Key)
		_, p := t.Words(x.Key, x.Value)
		switch i := slices.IndexFunc(before, func(y Arg) bool { return clash(t, y.Key, x.Key) }); {
		case !known || found.Ambiguous != nil:
			f.unknownArg(at, program, x.Key, t)
		case managedAlias(found, managed) != nil:
			f.managed(ReasonManagedFlag, at, x.Key, *managedAlias(found, managed))
		case i >= 0:
			f.add(ReasonInvalidArgument, at, "%s and %s set one thing, %s, and only the last would count; keep one of them", before[i].Key, x.Key, "--"+found.Name())
		case p != nil:
			f.add(ReasonInvalidArgument, at, "%s", p.Message+didYouMean(p.Word, p.Choices))
		}
		before = append(before, x)
	}
}

// clash reports whether the second of two arguments would take the place of the
// first: one flag in two spellings, or an object and one of its keys.
func clash(t *engineflags.Table, a, b string) bool {
	if !t.Knows(a) || !t.Knows(b) {
		return sameFlag(a, b)
	}
	x, _ := t.Find(a)
	y, _ := t.Find(b)
	if t.Program == EngineTRTLLM {
		return t.Same(a, b) || trtllmObject(x, y) || trtllmObject(y, x)
	}
	return t.Same(a, b) || x.ID() == y.ID() && (x.Path == "") != (y.Path == "")
}

// trtllmObject reports whether one argument is an option of trtllm's own and the
// other the object that such options are collected in.
func trtllmObject(option, object engineflags.Found) bool {
	return option.Name() == EngineTRTLLM && option.Path != "" && object.Name() == "override-engine-args"
}

// managedAlias is the managed flag that a flag of the program is under one of its
// names.
func managedAlias(found engineflags.Found, managed []managedFlagSpec) *managedFlagSpec {
	for i, m := range managed {
		if found.Ambiguous == nil && slices.Contains(found.Names, "--"+m.name) {
			return &managed[i]
		}
	}
	return nil
}

// unknownArg adds a fault for an argument that the parser of the nodes does not know.
func (f *faults) unknownArg(at, program, key string, t *engineflags.Table) {
	if t.FromNodes {
		f.add(ReasonUnknownArgument, at, "%s", unknownText(program, key, t))
	}
}

// unknownText says that a parser does not know an argument, and which it may be.
func unknownText(program, key string, t *engineflags.Table) string {
	if found, ok := t.Find(key); ok {
		return option(key) + " is short for each of " + strings.Join(found.Ambiguous, ", ") + " in " + t.Source() + "; write one in full"
	}
	text := "dynamo." + program + " has no " + option(key) + " in " + t.Source()
	if meant := meantFlag(key, t); meant != "" {
		return text + "; did you mean " + meant + "?"
	}
	return text
}

func option(key string) string { return "--" + flagName(strings.TrimLeft(key, "-")) }

// meantFlag is the key of the flag that an unknown key was most likely meant to be.
func meantFlag(key string, t *engineflags.Table) string {
	head, path, dotted := strings.Cut(key, ".")
	var keys []string
	for _, fl := range t.Flags() {
		keys = append(keys, fl.Key())
	}
	meant := t.Elsewhere(head)
	if meant == "" {
		meant = Nearest(strings.TrimPrefix(flagName(head), "no-"), keys)
	}
	if meant != "" && dotted {
		meant += "." + path
	}
	return meant
}

// unknownArgs tells of arguments that the recorded parser does not know.
func (w *warnings) unknownArgs(program string, field argField, t *engineflags.Table) {
	if t == nil || t.FromNodes {
		return
	}
	for _, x := range field.args {
		if t.Knows(x.Key) || isNull(x.Value) || placesOnly(program, x.Key) {
			continue
		}
		w.add(field.path+"."+x.Key, "%s; it is passed on as it is", unknownText(program, x.Key, t))
	}
}
