package state

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"

	"dynctl/state/engineflags"
)

// WarnModel returns what a valid model says and what does not do what it seems to,
// each place once. Both specs have their defaults filled in. What depends on routing is told by
// package router. The key of the warnings is left to the caller.
func WarnModel(m ModelSpec, server ServerSpec) []Warning { return WarnModelFor(nil, m, server) }

// WarnModelFor is WarnModel with the command lines that the nodes take.
func WarnModelFor(tables engineflags.Set, m ModelSpec, server ServerSpec) []Warning {
	var w warnings
	for _, field := range m.argFields() {
		w.args(field)
	}
	for _, field := range m.argFields() {
		w.unknownArgs(m.Engine, field, tables.For(m.Engine))
	}
	w.nothingToUnset(m)
	w.connectors(m)
	w.hybridForm(m)
	w.processes(m)
	w.repeated(m)
	w.gpus(m)
	w.runtimeEnv(m.RuntimeEnv, m.Env)
	w.readyTimeout(m, server)
	return w
}

// WarnServer is the same for a server.
func WarnServer(s ServerSpec) []Warning { return WarnServerFor(nil, s) }

// WarnServerFor is WarnServer with the command lines that the nodes take.
func WarnServerFor(tables engineflags.Set, s ServerSpec) []Warning {
	var w warnings
	w.repeatedIn([]argField{{"spec.router.args", s.Router.Args}, {"spec.frontend.args", s.Frontend.Args}})
	w.args(argField{"spec.frontend.args", s.Frontend.Args})
	w.args(argField{"spec.router.args", s.Router.Args})
	for _, field := range s.argFields() {
		w.unknownArgs(engineflags.Frontend, field, frontendTable(s, tables))
	}
	w.runtimeEnv(s.RuntimeEnv, s.Env)
	if s.NATS.URL != "" && s.RequestPlane != PlaneNATS && s.EventPlane != PlaneNATS {
		w.add("spec.nats.url", "nothing connects to it, since neither requestPlane nor eventPlane is nats; remove it, or set one of them")
	}
	if s.Router.Apply == ApplyModel && s.Router.Mode != RouterAuto {
		w.add("spec.router.apply", "it says where an automatic mode goes, and %s goes to the frontend; remove it, or set spec.router.mode to auto", s.Router.Mode)
	}
	if s.WarmPool.ProcessesPerNode > 0 && len(s.RuntimeEnv) > 0 {
		w.add("spec.warmPool.processesPerNode", "a worker with a runtimeEnv takes no process that is kept ready, and spec.runtimeEnv gives one to all; remove one of the two")
	}
	return w
}

// switches are words by which people mean true or false and which are text in YAML.
var switches = map[string]string{
	"yes": "true", "on": "true", "true": "true", "no": "false", "off": "false", "false": "false",
}

// readAsAnother is text that the engines read as a number or as nothing, where it is
// the value of a dotted key.
var readAsAnother = regexp.MustCompile(`^(-?\d+(\.\d+)?([eE][-+]?\d+)?|null)$`)

// objectFor is the argument that takes an object of which head names a key.
func objectFor(head string) string {
	if head == EngineTRTLLM {
		return "override_engine_args"
	}
	return head
}

// args tells of text that was meant to be a switch. After a dot the words true and
// false are what the engines read, and the options of TensorRT-LLM have no hyphens.
func (w *warnings) args(field argField) {
	for _, x := range field.args {
		text := jsonText(x.Value)
		meant, ok := switches[strings.ToLower(text)]
		head, path, dotted := strings.Cut(x.Key, ".")
		if ok && (!dotted || !strings.EqualFold(text, meant)) {
			w.add(field.path+"."+x.Key, "%q is text, and stands on the command line as the value of the flag; if it is a switch, write %s without quotes", text, meant)
		}
		if dotted && readAsAnother.MatchString(text) {
			w.add(field.path+"."+x.Key, "behind a dot the engine does not read %q as text; to keep it text, write %s as an object", text, objectFor(head))
		}
		if head == EngineTRTLLM && strings.Contains(path, "-") {
			w.add(field.path+"."+x.Key, "what follows the dot is passed on as it is, and TensorRT-LLM's options are written with _; write %s.%s", head, strings.ReplaceAll(path, "-", "_"))
		}
	}
}

// jsonText is the text that a JSON value holds; empty for another kind of value.
func jsonText(value json.RawMessage) (s string) {
	if json.Unmarshal(value, &s) != nil {
		return ""
	}
	return s
}

// nothingToUnset tells of a null in a role that takes nothing of the model's away.
func (w *warnings) nothingToUnset(m ModelSpec) {
	for _, role := range []string{RolePrefill, RoleDecode} {
		own := m.roleOrNone(role)
		for _, x := range []struct {
			field      string
			own, model Args
		}{{"engineArgs", own.EngineArgs, m.EngineArgs}, {"dynamoArgs", own.DynamoArgs, m.DynamoArgs}} {
			has := map[string]bool{}
			for _, b := range x.model.Present() {
				has[argID(m.Engine, b.Key)] = true
			}
			for _, a := range x.own {
				if isNull(a.Value) && !has[argID(m.Engine, a.Key)] {
					w.add("spec."+role+"."+x.field+"."+a.Key, "null takes an argument of the model away, and spec.%s has no %s; remove it", x.field, a.Key)
				}
			}
		}
	}
}

// repeated tells of flags that stand on the command line of a worker twice, each
// place once.
func (w *warnings) repeated(m ModelSpec) {
	told := map[string]bool{}
	for _, role := range m.Roles() {
		w.repeatedArgs(m.Engine, m.commandArgs(role), told)
	}
}

// repeatedIn is the same for fields that make one command line.
func (w *warnings) repeatedIn(fields []argField) {
	var args []commandArg
	for _, field := range fields {
		for _, x := range field.args {
			args = append(args, commandArg{x, field.path + "." + x.Key})
		}
	}
	w.repeatedArgs(engineflags.Frontend, args, map[string]bool{})
}

func (w *warnings) repeatedArgs(program string, args []commandArg, told map[string]bool) {
	seen := map[string]commandArg{}
	for _, x := range args {
		name := flagName(aliased(program, x.Key))
		if before, ok := seen[name]; ok && !told[before.path] {
			told[before.path] = true
			w.add(before.path, "--%s stands again in %s, and the last is taken; remove one of them", name, x.path)
		}
		seen[name] = x
	}
}

// WarnMetadata returns the annotations under dynctl's own prefix that nothing reads.
func WarnMetadata(m Metadata, kind string) []Warning {
	var w warnings
	for _, name := range slices.Sorted(maps.Keys(m.Annotations)) {
		switch {
		case !strings.HasPrefix(name, annotationPrefix), kind == KindServer && name == RecreateAnnotation:
		case kind == KindServer:
			w.add("metadata.annotations."+name, "nothing reads it; there is %s", RecreateAnnotation)
		default:
			w.add("metadata.annotations."+name, "nothing reads it of a model; %s belongs to a Server", RecreateAnnotation)
		}
	}
	return w
}

// annotationPrefix is that of the annotations that this program reads.
const annotationPrefix = "dynctl/"
