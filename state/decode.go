package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// decoder fills the spec types from a tree of nodes. It goes on after an error,
// so that one run names every place of a document that is wrong.
type decoder struct {
	src  *source
	errs []error
}

func (d *decoder) fail(n *node, hint, format string, args ...any) {
	if d.full() {
		d.errs = append(d.errs, d.src.counted())
		d.src.told++
		return
	}
	d.errs = append(d.errs, d.src.errorAt(n.line, n.col, fmt.Sprintf(format, clipWords(args)...), hint))
}

// failBy is fail for what has a reason of its own.
func (d *decoder) failBy(reason string, n *node, hint, format string, args ...any) {
	before := len(d.errs)
	d.fail(n, hint, format, args...)
	if e, ok := errors.AsType[*SpecError](d.errs[before]); ok && e.more == 0 {
		e.rule = &Invalid{Reason: reason, Path: "apiVersion", Message: e.Message + "; " + e.Hint}
	}
}

// full reports whether a fault would only be counted.
func (d *decoder) full() bool { return d.src.told >= MaxFaults }

// object reads a whole document.
func (d *decoder) object(root *node) Object {
	if root.kind != nodeObject {
		d.fail(root, "begin with apiVersion: "+APIVersion, "a document is an object, and this is %s", root.kind)
		return Object{}
	}
	if !d.header(root, KindServer, KindModel) {
		return Object{}
	}
	if root.field("kind").text == KindServer {
		var s Server
		d.value(root, reflect.ValueOf(&s).Elem(), "")
		return Object{Server: &s}
	}
	var m Model
	d.value(root, reflect.ValueOf(&m).Elem(), "")
	return Object{Model: &m}
}

// header checks apiVersion and kind, without which nothing else can be judged.
func (d *decoder) header(root *node, kinds ...string) bool {
	before := len(d.errs)
	for _, want := range []struct {
		key     string
		allowed []string
	}{{"apiVersion", []string{APIVersion}}, {"kind", kinds}} {
		allowed := strings.Join(want.allowed, " or ")
		n := root.field(want.key)
		switch {
		case n == nil || n.kind == nodeNull:
			hint := "add " + want.key + ": " + want.allowed[len(want.allowed)-1]
			if root.field("model_identifier") != nil {
				hint = "this looks like Curator's flat shape; turn it into a spec with dynctl convert"
			}
			d.fail(root, hint, "%s is missing", want.key)
		case want.key == "apiVersion" && n.kind == nodeString && ofAnotherVersion(n.text):
			d.failBy(ReasonUnknownVersion, n, "this program reads "+strings.Join(apiVersions(), " and ")+didYouMean(n.source, apiVersions())+
				": write it as that, or upgrade reconciler and dynctl", "apiVersion %q is not known here", n.source)
		case n.kind != nodeString || !slices.Contains(want.allowed, n.text):
			d.fail(n, "it is "+allowed+didYouMean(n.source, want.allowed), "%s %q is not known", want.key, n.source)
		}
	}
	return len(d.errs) == before
}

var (
	typeArgs     = reflect.TypeFor[Args]()
	typeEnv      = reflect.TypeFor[Env]()
	typeTristate = reflect.TypeFor[Tristate]()
	typeDuration = reflect.TypeFor[Duration]()
)

// value fills one Go value from a node. A null leaves the value as it is: unset.
func (d *decoder) value(n *node, v reflect.Value, path string) {
	if n.kind == nodeNull {
		return
	}
	switch v.Type() {
	case typeArgs:
		d.args(n, v.Addr().Interface().(*Args), path)
		return
	case typeEnv:
		d.env(n, v.Addr().Interface().(*Env), path)
		return
	case typeTristate:
		d.tristate(n, v.Addr().Interface().(*Tristate), path)
		return
	case typeDuration:
		d.duration(n, v.Addr().Interface().(*Duration), path)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, v.Elem(), path)
	case reflect.Struct:
		d.fields(n, v, path)
	case reflect.Map:
		d.labels(n, v, path)
	case reflect.Slice:
		d.texts(n, v, path)
	case reflect.String:
		if d.want(n, nodeString, path) {
			v.SetString(n.text)
		}
	case reflect.Bool:
		if d.want(n, nodeBool, path) {
			v.SetBool(n.text == "true")
		}
	default:
		d.number(n, v, path)
	}
}

// want checks the kind of a node.
func (d *decoder) want(n *node, kind nodeKind, path string) bool {
	if n.kind == kind {
		return true
	}
	hint := ""
	if kind == nodeString && (n.kind == nodeNumber || n.kind == nodeBool) {
		hint = fmt.Sprintf("put it in quotes: %q", Clip(n.source, maxWord))
	}
	d.fail(n, hint, "%s takes %s, and this is %s", nameOf(path), kind, n.kind)
	return false
}

func nameOf(path string) string {
	if path == "" {
		return "a document"
	}
	return path
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// fields fills a struct; a key that is no field of it is an error.
func (d *decoder) fields(n *node, v reflect.Value, path string) {
	if !d.want(n, nodeObject, path) {
		return
	}
	names := fieldNames(v.Type())
	for _, f := range n.fields {
		i := slices.Index(names, f.key)
		if i < 0 {
			d.unknown(f, names, path)
			continue
		}
		before := len(d.errs)
		d.value(f.value, v.Field(i), join(path, f.key))
		if len(d.errs) > before {
			continue // one fault is told once
		}
		if v.Type().Field(i).Tag.Get("spec") == "nonzero" && f.value.kind != nodeNull && v.Field(i).IsZero() {
			d.zero(f.value, join(path, f.key))
		}
	}
}

// zero refuses a written zero where it would silently mean the default.
func (d *decoder) zero(n *node, path string) {
	if n.kind == nodeNumber || n.kind == nodeString {
		d.fail(n, "leave it out for the default", "%s cannot be %s", path, n.source)
	}
}

// knownElsewhere are names that people bring along from Curator's flat shape.
var knownElsewhere = map[string]string{
	"model_identifier": "model", "model_name": "servedName", "num_replicas": "replicas",
	"engine_kwargs": "engineArgs", "dynamo_kwargs": "dynamoArgs", "router_kwargs": "args",
	"subprocess_env": "env", "etcd_endpoint": "etcd", "nats_url": "nats", "namespace": "dynamoNamespace",
}

func (d *decoder) unknown(f field, names []string, path string) {
	hint := ""
	if d.full() {
		d.fail(f.value, "", "")
		return
	}
	if best := knownElsewhere[f.key]; slices.Contains(names, best) {
		hint = "did you mean " + best + "?"
	} else if best := Nearest(f.key, names); best != "" {
		hint = "did you mean " + best + "?"
	} else {
		sorted := slices.Sorted(slices.Values(names))
		hint = "it has " + strings.Join(sorted, ", ")
	}
	at := &node{line: f.line, col: f.col}
	d.fail(at, hint, "%s has no field %q", nameOf(path), f.key)
}

// fieldNames are the JSON names of a struct's fields, by index.
func fieldNames(t reflect.Type) []string {
	names := make([]string, t.NumField())
	for i := range names {
		names[i], _, _ = strings.Cut(t.Field(i).Tag.Get("json"), ",")
	}
	return names
}

// labels fills a map of text by text.
func (d *decoder) labels(n *node, v reflect.Value, path string) {
	if !d.want(n, nodeObject, path) {
		return
	}
	out := make(map[string]string, len(n.fields))
	for _, f := range n.fields {
		if d.want(f.value, nodeString, join(path, f.key)) {
			out[f.key] = f.value.text
		}
	}
	v.Set(reflect.ValueOf(out))
}

func (d *decoder) number(n *node, v reflect.Value, path string) {
	if !d.want(n, nodeNumber, path) {
		return
	}
	if v.Kind() == reflect.Float64 {
		f, err := strconv.ParseFloat(n.text, 64)
		if err != nil {
			d.fail(n, "", "%s is out of range: %s; it lies within ±%.1e", path, n.source, math.MaxFloat64)
			return
		}
		v.SetFloat(f)
		return
	}
	i, err := strconv.ParseInt(n.text, 10, 32)
	switch {
	case err == nil:
		v.SetInt(i)
	case strings.ContainsAny(n.text, ".eE"):
		d.fail(n, "write it without a fraction or an exponent", "%s takes a whole number, and this is %s", path, n.source)
	default:
		d.fail(n, "", "%s is out of range: %s; it lies from %d to %d", path, n.source, math.MinInt32, math.MaxInt32)
	}
}

func (d *decoder) args(n *node, out *Args, path string) {
	if !d.want(n, nodeObject, path) {
		return
	}
	*out = make(Args, 0, len(n.fields))
	for _, f := range n.fields {
		*out = append(*out, Arg{Key: f.key, Value: f.value.json()})
	}
}

func (d *decoder) env(n *node, out *Env, path string) {
	if !d.want(n, nodeObject, path) {
		return
	}
	*out = make(Env, len(n.fields))
	for _, f := range n.fields {
		at := join(path, f.key)
		switch f.value.kind {
		case nodeString, nodeNumber, nodeBool:
			// What stands in the file is what the process sees: 0123 stays 0123.
			(*out)[f.key] = EnvValue{Value: f.value.source}
			f.value.kind, f.value.text = nodeString, f.value.source
		case nodeObject:
			(*out)[f.key] = d.envSource(f.value, at)
		case nodeNull:
			d.fail(&node{line: f.line, col: f.col}, `write "" for an empty value`, "%s has no value", at)
		default:
			d.fail(f.value, "", "%s takes text, {fromFile: path} or {fromEnv: name}, and this is %s", at, f.value.kind)
		}
	}
}

func (d *decoder) envSource(n *node, path string) EnvValue {
	var src envSource
	before := len(d.errs)
	d.fields(n, reflect.ValueOf(&src).Elem(), path)
	if len(d.errs) == before && (src.FromFile == "") == (src.FromEnv == "") {
		d.fail(n, "", "%s takes text, or exactly one of fromFile and fromEnv", path)
	}
	return EnvValue{FromFile: src.FromFile, FromEnv: src.FromEnv}
}

func (d *decoder) tristate(n *node, out *Tristate, path string) {
	if err := json.Unmarshal(n.json(), out); err != nil {
		d.fail(n, "", "%s takes true, false or auto, and this is %s", path, describe(n))
	}
}

func (d *decoder) duration(n *node, out *Duration, path string) {
	if n.kind == nodeNumber {
		d.fail(n, "add a unit: "+Clip(n.source, maxWord)+"s, "+Clip(n.source, maxWord)+"m", "%s takes a duration, and this is a number", path)
		return
	}
	if !d.want(n, nodeString, path) {
		return
	}
	v, err := time.ParseDuration(n.text)
	switch {
	case err != nil && BeyondDuration(n.text):
		d.fail(n, "the longest is "+maxDuration.String(), "%s: %s is too long", path, Clip(n.text, maxWord))
	case err != nil:
		d.fail(n, "write one such as 30s, 5m or 1h30m", "%s takes a duration, and %q is none", path, n.text)
	case v <= 0:
		d.fail(n, "leave it out for the default", "%s has to be longer than 0s", path)
	default:
		*out = Duration(v)
	}
}

// describe is a node in words, with its text where it is short.
func describe(n *node) string {
	if n.kind == nodeString && len(n.text) <= MaxNameLength {
		return strconv.Quote(n.text)
	}
	return n.kind.String()
}
