package state

import (
	"maps"
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
			return t.Then(engineflags.Recorded(engineflags.Processor(processor)))
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
	before := earlier{table: t}
	for _, x := range field.args {
		at := field.path + "." + x.Key
		if isNull(x.Value) || f.has(at) || placesOnly(program, x.Key) {
			continue
		}
		found, known := t.Find(x.Key)
		_, p := t.Words(x.Key, x.Value)
		if !known || found.Ambiguous != nil {
			f.unknownArg(at, program, x.Key, t)
			continue
		}
		switch other, clashes := before.clash(found, x.Key); {
		case managedAlias(found, managed) != nil:
			f.managed(ReasonManagedFlag, at, x.Key, *managedAlias(found, managed))
		case clashes:
			f.add(ReasonInvalidArgument, at, "%s and %s set one thing, %s, and only the last would count; keep one of them", other, x.Key, "--"+found.Name())
		case p != nil:
			f.add(ReasonInvalidArgument, at, "%s%s", p.Message, didYouMean(p.Word, p.Choices))
		}
		before.add(found, x.Key)
	}
}

// earlier are the arguments before one, by what they could clash with.
type earlier struct {
	table *engineflags.Table
	keys  map[string]string
	// paths are those of the dotted keys, with the keys.
	paths map[string]string
}

// clash is the first of the earlier keys whose place an argument would take: one flag in
// two spellings, or an object and one of its keys.
func (e *earlier) clash(found engineflags.Found, key string) (other string, clashes bool) {
	if other, clashes = e.keys[e.thing(found, key)]; clashes {
		return other, true
	}
	if e.table.Program == EngineTRTLLM && found.Path != "" {
		for _, path := range slices.Sorted(maps.Keys(e.paths)) {
			if strings.HasPrefix(path+".", found.Path+".") || strings.HasPrefix(found.Path+".", path+".") {
				return e.paths[path], true
			}
		}
	}
	return e.objects(found)
}

func (e *earlier) add(found engineflags.Found, key string) {
	if e.keys == nil {
		e.keys, e.paths = map[string]string{}, map[string]string{}
	}
	if found.Path != "" {
		e.paths[found.Path] = key
	}
	for _, name := range []string{e.thing(found, key), e.part(found, e.whole(found))} {
		if _, has := e.keys[name]; !has && name != "" {
			e.keys[name] = key
		}
	}
}

// thing is what an argument sets.
func (e *earlier) thing(found engineflags.Found, key string) string {
	if found.Repeats {
		return "key " + flagName(key)
	}
	return "flag " + found.ID() + "\x00" + flagName(found.Path)
}

// whole reports whether an argument is an object and not a key of one.
func (e *earlier) whole(found engineflags.Found) bool { return found.Path == "" }

// objects is clash between an object and its keys alone.
func (e *earlier) objects(found engineflags.Found) (other string, clashes bool) {
	other, clashes = e.keys[e.part(found, !e.whole(found))]
	return other, clashes
}

// part names the objects, or the keys in them, that an argument belongs to; empty where
// there are none.
func (e *earlier) part(found engineflags.Found, whole bool) string {
	id := found.ID()
	if e.table.Program == EngineTRTLLM {
		// Options of trtllm's own are collected in one object.
		switch {
		case found.Name() == EngineTRTLLM && found.Path != "", found.Name() == "override-engine-args":
			id = "override-engine-args"
		default:
			return ""
		}
	}
	return map[bool]string{true: "object ", false: "in object "}[whole] + id
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
	switch {
	case !t.FromNodes:
	case len(*f) >= MaxFaults: // it is only counted
		f.add(ReasonUnknownArgument, at, "")
	default:
		f.add(ReasonUnknownArgument, at, "%s", unknownText(program, key, t))
	}
}

// unknownText is the message about an argument that the parser does not know, with the likely spelling.
func unknownText(program, key string, t *engineflags.Table) string {
	if found, ok := t.Find(key); ok {
		return option(key) + " is short for each of " + strings.Join(found.Ambiguous, ", ") + " in " + t.Source() + "; write one in full"
	}
	text := "dynamo." + program + " has no " + option(key) + " in " + t.Source()
	head, _, dotted := strings.Cut(key, ".")
	switch found, ok := t.Find(head); {
	case program == EngineTRTLLM && flagName(head) == EngineTRTLLM:
		return text + "; write an option of TensorRT-LLM with its name: " + trtllmNamed + ": VALUE"
	case dotted && ok && !found.Object():
		return text + ", where " + option(head) + " takes no object that could have keys"
	case dotted && ok:
		return text + ", where no key has a dot; write " + found.Key() + " as an object"
	}
	if where := elsewhere(program, key); where != "" {
		return text + "; " + where
	}
	if meant := meantFlag(key, t); meant != "" {
		return text + "; did you mean " + meant + "?"
	}
	if program == EngineTRTLLM && !dotted {
		return text + "; an option of TensorRT-LLM itself is written " + trtllmNamed
	}
	return text
}

// trtllmNamed is the form of an option of TensorRT-LLM itself.
const trtllmNamed = "trtllm.NAME, such as trtllm.kv_cache_config.dtype"

func option(key string) string { return "--" + flagName(strings.TrimLeft(key, "-")) }

// vllmServerFlags are flags of vllm's own HTTP server, which Dynamo does not start, with what
// there is instead.
var vllmServerFlags = map[string]string{
	"enable-auto-tool-choice": "it belongs to vllm's own HTTP server: dyn_tool_call_parser alone turns tool calls on; remove it",
	"chat-template":           "it belongs to vllm's own HTTP server; write custom_jinja_template",
}

// elsewhere says where an argument belongs that another program of a server takes;
// empty where there is none.
func elsewhere(program, key string) string {
	name := flagName(key)
	switch found, ok := engineflags.Recorded(engineflags.Frontend).Find(key); {
	case program == EngineVLLM && vllmServerFlags[name] != "":
		return vllmServerFlags[name]
	case program == engineflags.Frontend || !ok || found.Name() != name:
		return ""
	}
	return "it is an argument of the frontend; write it in spec.frontend.args of the Server"
}

// meantFlag is the key of the flag that an unknown key was most likely meant to be.
func meantFlag(key string, t *engineflags.Table) string {
	head, path, dotted := strings.Cut(key, ".")
	var keys []string
	for _, fl := range t.Flags() {
		if _, managed := ManagedArgument(t.Program, engineflags.Found{Flag: fl}); !managed {
			keys = append(keys, fl.Key())
		}
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

// unknownArgs tells of arguments that the parser does not know. One of the nodes refuses
// them in what is written from now on; what was accepted before stays.
func (w *warnings) unknownArgs(program string, field argField, t *engineflags.Table) {
	if t == nil {
		return
	}
	for _, x := range field.args {
		if t.Knows(x.Key) || isNull(x.Value) || placesOnly(program, x.Key) {
			continue
		}
		text := ""
		if len(*w) < MaxFaults { // else it is only counted
			text = unknownText(program, x.Key, t)
		}
		w.add(field.path+"."+x.Key, "%s; it is passed on as it is", text)
	}
}
