package state

import (
	"slices"

	"dynctl/state/engineflags"
)

// Engines are the engines that a model may run on, the default first.
func Engines() []string { return []string{EngineVLLM, EngineSGLang, EngineTRTLLM, EngineMocker} }

// ManagedArgument reports whether dynctl sets a flag of a program itself, so that
// arguments may not, and names the field to use instead where there is one.
func ManagedArgument(program string, found engineflags.Found) (field string, managed bool) {
	flags := slices.Concat(workerFlags, engineFlags[program])
	if program == engineflags.Frontend {
		flags = frontendFlags
	}
	if m, ok := managedFlag(found.Name(), flags); ok {
		return m.field, true
	}
	if m := managedAlias(found, flags); m != nil {
		return m.field, true
	}
	return "", false
}

// UnknownArgument reports whether the recorded parser of a program does not know an
// argument, or knows several that it is short for. Guided: the text ends with what
// was most likely meant.
func UnknownArgument(program, key string) (text string, guided bool) {
	table := engineflags.Recorded(program)
	_, short := table.Find(key)
	return unknownText(program, key, table), short || meantFlag(key, table) != ""
}

// PlacesOnly reports whether an argument shapes the placement of an engine's workers
// alone, and is on no command line.
func PlacesOnly(engine, key string) bool {
	return placesOnly(engine, key) && !engineflags.Recorded(engine).Knows(key)
}

// Arguments are the flags of a program that arguments of a spec can set, by name.
func Arguments(program string) []engineflags.Flag {
	table := engineflags.Recorded(program)
	var out []engineflags.Flag
	seen := map[string]bool{}
	for _, f := range table.Flags() {
		found, ok := table.Find(f.Key())
		if !ok || seen[f.Key()] || found.Kind == engineflags.KindExit {
			continue
		}
		seen[f.Key()] = true
		if _, managed := ManagedArgument(program, found); !managed {
			out = append(out, found.Flag)
		}
	}
	return out
}

// argsSchema knows the arguments of a program for editors. Others stay allowed: a
// plugin or a newer version may bring them.
func argsSchema(program string) schemaNode {
	properties := schemaNode{}
	for _, f := range Arguments(program) {
		for _, key := range f.Keys() {
			properties[key] = f.Schema()
		}
	}
	return schemaNode{"title": "Arguments of " + engineflags.Recorded(program).Source(), "properties": properties}
}

// withArguments ties the fields of arguments of the schema of a kind to the programs
// that get them, which stand in the definitions of the root.
func withArguments(kind string, root, definitions schemaNode) schemaNode {
	spec := below(root, "spec")
	if kind == KindServer {
		definitions[engineflags.Frontend] = argsSchema(engineflags.Frontend)
		for _, section := range []string{"frontend", "router"} {
			below(below(spec, section), "args")["allOf"] = []schemaNode{argsRef(engineflags.Frontend)}
		}
		return root
	}
	var perEngine []schemaNode
	for i, engine := range Engines() {
		definitions[engine] = argsSchema(engine)
		condition := schemaNode{"properties": schemaNode{"engine": schemaNode{"const": engine}}, "required": []string{"engine"}}
		if i == 0 { // also where none is written
			condition = schemaNode{"properties": schemaNode{"engine": schemaNode{"enum": []any{engine, nil}}}}
		}
		fields := schemaNode{"engineArgs": argsRef(engine), "dynamoArgs": argsRef(engine)}
		then := schemaNode{RolePrefill: schemaNode{"properties": fields}, RoleDecode: schemaNode{"properties": fields}}
		for name, ref := range fields {
			then[name] = ref
		}
		perEngine = append(perEngine, schemaNode{"if": condition, "then": schemaNode{"properties": then}})
	}
	spec["allOf"] = perEngine
	return root
}

func argsRef(program string) schemaNode { return schemaNode{"$ref": "#/$defs/" + program} }

// below is the schema of a field; objectSchema makes no other type.
func below(s schemaNode, field string) schemaNode {
	properties, _ := s["properties"].(schemaNode)
	node, _ := properties[field].(schemaNode)
	return node
}
