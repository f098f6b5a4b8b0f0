package state

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// drawJSON draws a compact JSON value, nested a little.
func drawJSON(t *rapid.T, depth int, label string) json.RawMessage {
	kinds := 5
	if depth > 0 {
		kinds = 7
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, label+" kind") {
	case 0:
		return text("null")
	case 1:
		return text(rapid.SampledFrom([]string{"true", "false"}).Draw(t, label))
	case 2:
		return text(rapid.SampledFrom([]string{"0", "-1", "1.0", "0.10", "1e+22", "-0.0", "12345678901234567890123"}).Draw(t, label))
	case 3, 4:
		return quotedPlain(rapid.String().Draw(t, label))
	case 5:
		var list []json.RawMessage
		for range rapid.IntRange(0, 3).Draw(t, label+" length") {
			list = append(list, drawJSON(t, depth-1, label))
		}
		return marshalList(list)
	}
	return marshalArgs(drawArgs(t, depth-1, label))
}

// quotedPlain is a JSON string as the decoder writes it.
func quotedPlain(s string) json.RawMessage {
	n := node{kind: nodeString, text: strings.ToValidUTF8(s, "?")}
	return n.json()
}

func drawArgs(t *rapid.T, depth int, label string) Args {
	out := Args{}
	for _, key := range rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z_.-]{0,6}`), 0, 4, rapid.ID[string]).Draw(t, label+" keys") {
		out = append(out, Arg{Key: key, Value: drawJSON(t, depth, label)})
	}
	return out
}

func drawEnv(t *rapid.T, label string) Env {
	out := Env{}
	for _, name := range rapid.SliceOfNDistinct(rapid.StringMatching(`[A-Z]{1,4}`), 0, 3, rapid.ID[string]).Draw(t, label) {
		word := rapid.StringMatching(`[a-z0-9./ ]{1,8}`).Draw(t, label+" value")
		out[name] = rapid.SampledFrom([]EnvValue{{Value: word}, {FromFile: word}, {FromEnv: word}}).Draw(t, label+" kind")
	}
	return out
}

func drawDuration(t *rapid.T, label string) Duration {
	return Duration(rapid.Int64Range(1, 1<<50).Draw(t, label))
}

func drawModel(t *rapid.T) Model {
	count := rapid.Ptr(rapid.IntRange(-2, 9), true)
	tristate := rapid.SampledFrom([]Tristate{"", Auto, True, False})
	word := rapid.StringMatching(`[A-Za-z0-9/._-]{1,12}`)
	m := Model{APIVersion: APIVersion, Kind: KindModel, Metadata: Metadata{Name: "m"}}
	m.Metadata.Annotations = map[string]string{"a": rapid.String().Draw(t, "annotation")}
	m.Metadata.Annotations["a"] = strings.ToValidUTF8(m.Metadata.Annotations["a"], "?")
	m.Spec = ModelSpec{
		Model:            word.Draw(t, "model"),
		Engine:           rapid.SampledFrom([]string{"", EngineVLLM, EngineSGLang, "other"}).Draw(t, "engine"),
		Mode:             rapid.SampledFrom([]string{"", ModeAggregated, ModeDisagg}).Draw(t, "mode"),
		Replicas:         count.Draw(t, "replicas"),
		EngineArgs:       drawArgs(t, 2, "engineArgs"),
		KVTransferConfig: drawArgs(t, 1, "kvTransferConfig"),
		Env:              drawEnv(t, "env"),
		RuntimeEnv:       drawArgs(t, 1, "runtimeEnv"),
		Router:           ModelRouter{KVEvents: tristate.Draw(t, "kvEvents")},
		Resources:        ResourcesSpec{GPUs: count.Draw(t, "gpus")},
		Placement:        PlacementSpec{ExcludeHeadNode: rapid.Ptr(rapid.Bool(), true).Draw(t, "head")},
		Priority:         rapid.IntRange(-5, 5).Draw(t, "priority"),
		StartupTimeout:   drawDuration(t, "startupTimeout"),
		Restart:          word.Draw(t, "restart"),
		Suspend:          rapid.Bool().Draw(t, "suspend"),
	}
	if rapid.Bool().Draw(t, "prefill") {
		m.Spec.Prefill = &RoleSpec{Replicas: count.Draw(t, "prefill replicas"), EngineArgs: drawArgs(t, 1, "prefill args")}
	}
	return m
}

// equal compares specs as documents: nothing and empty are the same.
var equal = cmp.Options{cmpopts.EquateEmpty(), cmp.Comparer(func(a, b Tristate) bool {
	return a == b || a.Explicit() == b.Explicit() && !a.Explicit()
})}

// A model written as JSON is read back the same, by the decoder and by
// encoding/json alike.
func TestModelRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t)
		data, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		docs, err := Decode("m", data)
		if err != nil {
			t.Fatalf("%v\nin %s", err, data)
		}
		var plain Model
		if err := json.Unmarshal(docs[0].Raw, &plain); err != nil {
			t.Fatal(err)
		}
		// encoding/json escapes <, > and &, which is the same text.
		if diff := cmp.Diff(canonical(t, m), canonical(t, *docs[0].Object.Model), equal); diff != "" {
			t.Fatal(diff)
		}
		if diff := cmp.Diff(canonical(t, m), canonical(t, plain), equal); diff != "" {
			t.Fatal(diff)
		}
	})
}

func canonical(t *rapid.T, m Model) Model {
	out := m.Clone()
	sp := &out.Spec
	for _, a := range []*Args{&sp.EngineArgs, &sp.KVTransferConfig, &sp.RuntimeEnv} {
		for i := range *a {
			(*a)[i].Value = canonicalJSON(t, (*a)[i].Value)
		}
	}
	if sp.Prefill != nil {
		for i := range sp.Prefill.EngineArgs {
			sp.Prefill.EngineArgs[i].Value = canonicalJSON(t, sp.Prefill.EngineArgs[i].Value)
		}
	}
	return out
}

// canonicalJSON is a value in the form in which the decoder writes it.
func canonicalJSON(t *rapid.T, value json.RawMessage) json.RawMessage {
	wrapped := append(append([]byte(`{"v":`), value...), '}')
	return readJSON(t, string(wrapped)).field("v").json()
}

// Defaults are filled in once, and the argument is left alone.
func TestWithDefaultsIsIdempotent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t)
		before, _ := json.Marshal(m)
		once := m.WithDefaults()
		if diff := cmp.Diff(once, once.WithDefaults()); diff != "" {
			t.Fatal(diff)
		}
		for i := range once.Spec.EngineArgs {
			once.Spec.EngineArgs[i].Key = "changed"
			clear(once.Spec.EngineArgs[i].Value)
		}
		clear(once.Spec.Env)
		clear(once.Metadata.Annotations)
		if after, _ := json.Marshal(m); string(before) != string(after) {
			t.Fatalf("the argument changed:\n%s\n%s", before, after)
		}
	})
}

// Every field of a spec is copied by Clone: nothing that can be changed is shared.
func TestCloneSharesNothing(t *testing.T) {
	for _, v := range []any{Server{}, Model{}} {
		filled := reflect.New(reflect.TypeOf(v)).Elem()
		fill(filled)
		var clone reflect.Value
		switch x := filled.Interface().(type) {
		case Server:
			clone = reflect.ValueOf(x.Clone())
		case Model:
			clone = reflect.ValueOf(x.Clone())
		}
		if diff := cmp.Diff(filled.Interface(), clone.Interface()); diff != "" {
			t.Error(diff)
		}
		shared(t, filled.Type().Name(), filled, clone)
	}
}

// fill sets every field to something that is not zero.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("k"), reflect.New(v.Type().Elem()).Elem())
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float64:
		v.SetFloat(1)
	case reflect.Uint8:
		v.SetUint('1')
	default:
		v.SetInt(1)
	}
}

func shared(t *testing.T, path string, a, b reflect.Value) {
	switch a.Kind() {
	case reflect.Struct:
		for i := range a.NumField() {
			shared(t, path+"."+a.Type().Field(i).Name, a.Field(i), b.Field(i))
		}
	case reflect.Pointer, reflect.Slice, reflect.Map:
		if a.Pointer() == b.Pointer() {
			t.Errorf("%s is shared", path)
		}
		if a.Kind() == reflect.Slice {
			shared(t, path+"[0]", a.Index(0), b.Index(0))
		} else if a.Kind() == reflect.Pointer {
			shared(t, path, a.Elem(), b.Elem())
		}
	}
}

// An overlay has every key once, the values of the later one, and the order of
// the earlier one first.
func TestOverlay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawArgs(t, 1, "a"), drawArgs(t, 1, "b")
		before := string(marshalArgs(a)) + string(marshalArgs(b))
		out := a.Overlay(b)
		if string(marshalArgs(a))+string(marshalArgs(b)) != before {
			t.Fatal("an argument changed")
		}
		for i, x := range a {
			if out[i].Key != x.Key {
				t.Fatalf("key %q moved", x.Key)
			}
		}
		seen := map[string]bool{}
		for _, x := range out {
			want, inB := b.Get(x.Key)
			if !inB {
				want, _ = a.Get(x.Key)
			}
			if seen[x.Key] || string(want) != string(x.Value) {
				t.Fatalf("key %q: %s", x.Key, x.Value)
			}
			seen[x.Key] = true
		}
		for _, x := range b {
			if !seen[x.Key] {
				t.Fatalf("key %q is lost", x.Key)
			}
		}
	})
}

// A slug is empty or fits its pattern, and is its own slug.
func TestSlugProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Slug(rapid.String().Draw(t, "name"))
		if s != Slug(s) {
			t.Fatalf("%q is not its own slug", s)
		}
		if strings.Trim(s, "_") != s || strings.Contains(s, "__") {
			t.Fatalf("%q", s)
		}
		for _, c := range s {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
				t.Fatalf("%q", s)
			}
		}
	})
}

// A duration is read back from the text that it is written as.
func TestDurationRoundTrip(t *testing.T) {
	for text, want := range map[string]string{"30m": "30m", "90s": "1m30s", "1h": "1h", "1h0m5s": "1h0m5s", "500ms": "500ms", "10m": "10m", "120s": "2m"} {
		var d Duration
		if err := d.UnmarshalText([]byte(text)); err != nil || d.String() != want {
			t.Errorf("%s: got %s, %v", text, d, err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		d := drawDuration(t, "d")
		var again Duration
		if err := again.UnmarshalText([]byte(d.String())); err != nil || again != d {
			t.Fatalf("%d: %q, %v", d, d, err)
		}
	})
}

// The key of an object, as text, is read back as the same key.
func TestKeyRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := ModelKey(rapid.StringMatching(`[a-z0-9]([-a-z0-9]{0,9}[a-z0-9])?`).Draw(t, "server"),
			rapid.StringMatching(`[a-z0-9]([-_.a-z0-9]{0,9}[a-z0-9])?`).Draw(t, "name"))
		if again, err := ParseKey(k.String()); err != nil || again != k {
			t.Fatalf("%v: %v, %v", k, again, err)
		}
	})
}
