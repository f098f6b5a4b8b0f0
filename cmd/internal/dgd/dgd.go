// Package dgd turns a DynamoGraphDeployment, the resource of NVIDIA Dynamo's
// Kubernetes operator, into specs: the frontend becomes a Server, the workers
// become Models, a prefill and a decode component of one model become one
// disaggregated Model. It reads both versions of the resource: the map of services
// (v1alpha1) and the list of components with pod templates (v1beta1).
//
// Nothing is dropped in silence: what has no counterpart is a note that names the
// component and the field.
package dgd

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"dynctl/state"
)

// Kind is the kind of the documents that Convert reads.
const Kind = "DynamoGraphDeployment"

// Result is what a graph deployment asks for, as specs.
type Result struct {
	Server state.Server
	Models []Model
	// Notes say what was left out, or is not what it was, one sentence each.
	Notes []string
}

// Model is a model and the path in the document of the component that it was made
// from, as [state.Locate] takes it.
type Model struct {
	state.Model
	Path string
}

// Error is what keeps a graph deployment from being converted.
type Error struct {
	Path    string // in the document, as state.Locate takes it; empty for all of it
	Message string
}

func (e *Error) Error() string { return e.Message }

func errorAt(path, format string, args ...any) error {
	return &Error{Path: path, Message: fmt.Sprintf(format, args...)}
}

// Convert reads one DynamoGraphDeployment as JSON, and of the ConfigMaps that stand
// beside it what it refers to; nil: there are none. The names of the models are not
// set: whoever collects the models of several files keeps them apart. A failure is
// an [*Error]; the notes that come with it may say more.
func Convert(doc json.RawMessage, configs ConfigMaps) (Result, error) {
	var g graph
	if err := json.Unmarshal(doc, &g); err != nil {
		return Result{}, decodeError("", err)
	}
	components, err := g.read()
	if err != nil {
		return Result{}, err
	}
	configs.fill(g.Spec.Envs)
	configs.fill(g.Spec.Env)
	resolve(nil, g.Spec.Envs)
	resolve(g.Spec.Envs, g.Spec.Env)
	for i := range components {
		configs.fillComponent(&components[i])
		resolve(g.environment(), components[i].env)
	}
	c := converter{graph: g, configs: configs}
	c.server.APIVersion, c.server.Kind = state.APIVersion, state.KindServer
	c.setEnv(&c.server.Spec.Env, g.environment(), "the deployment")
	c.leftOut("the deployment", unread(doc, reflect.TypeFor[graph](), ""))
	var workers []worker
	for _, comp := range components {
		switch c.kind(comp) {
		case kindFrontend:
			c.frontend(comp)
		case kindWorker:
			if w, ok := c.worker(comp); ok {
				workers = append(workers, w)
			}
		default:
			c.note("%s: a component of type %s has no counterpart and is left out", comp.name, comp.kind)
		}
	}
	for _, group := range groups(workers) {
		c.model(group)
	}
	if len(c.models) == 0 {
		return Result{Notes: c.notes}, errorAt("spec",
			"no component of this %s runs python -m dynamo.vllm, dynamo.sglang, dynamo.trtllm or dynamo.mocker, so there is no model to convert", Kind)
	}
	c.router(workers)
	return Result{Server: c.server, Models: c.models, Notes: c.notes}, nil
}

type converter struct {
	graph  graph
	server state.Server
	models []Model
	notes  []string
	// saidEvents: the router flags say whether it reads KV events.
	saidEvents bool
	configs    ConfigMaps
	// frontends are the names of those that were read.
	frontends []string
}

// kind is told by what a component runs, and else by what the document says: the
// first releases called every component main.
func (c *converter) kind(comp component) string {
	switch module := c.command(comp, "").module; {
	case module == kindFrontend:
		return kindFrontend
	case engineOf(module) != "":
		return kindWorker
	}
	return comp.kind
}

// command is what a component runs.
func (c *converter) command(comp component, framework string) command {
	return readCommand(comp.command, framework, known(c.graph.environment(), comp.env))
}

// launcher tells of what stands before the module that a component runs.
func (c *converter) launcher(where string, cmd command) {
	if len(cmd.before) > 0 {
		c.note("%s: left out, for processes are started with the interpreter of Ray: %s", where, strings.Join(cmd.before, " "))
	}
}

// set gives a field of the Server a value, and tells of one that it had before.
func (c *converter) set(dst *string, value, what, where string) {
	if *dst != "" && *dst != value {
		c.note("%s: its %s is %s, and %s was said before; a Server has one, and this one counts", where, what, value, *dst)
	}
	*dst = value
}

// one is the only value of a flag; more than one or none is told.
func (c *converter) one(where string, f flag) string {
	switch {
	case len(f.values) == 0:
		c.note("%s: --%s is left out, for it has no value", where, f.name)
	case len(f.values) > 1:
		c.note("%s: left out behind --%s, which takes one value: %s", where, f.name, strings.Join(f.values[1:], " "))
	}
	return f.first()
}

func (c *converter) note(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(c.notes, text) {
		c.notes = append(c.notes, text)
	}
}

func (c *converter) leftOut(where string, fields []string) {
	if len(fields) > 0 {
		c.note("%s: left out, for there is no counterpart: %s", where, strings.Join(fields, ", "))
	}
}

func decodeError(path string, err error) error {
	var typed *json.UnmarshalTypeError
	if errors.As(err, &typed) {
		if typed.Field != "" {
			path = strings.TrimPrefix(path+"."+typed.Field, ".")
		}
		return errorAt(path, "this is %s; want %s", article(typed.Value), wanted(typed.Type.Kind()))
	}
	return errorAt(path, "%v", err)
}

func article(what string) string {
	if strings.HasPrefix(what, "number ") {
		return what
	}
	return "a " + what
}

// wanted names a kind of Go value as a person would.
func wanted(k reflect.Kind) string {
	switch k {
	case reflect.Int:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.String:
		return "text"
	case reflect.Slice:
		return "a list"
	}
	return "a mapping"
}
