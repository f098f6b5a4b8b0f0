package offline

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dynctl/state"
)

// values are what each field is set to, by its path without "spec.": one of them at
// least for each field that there is.
var values = map[string][]string{
	"model":                          {`"b/other"`, `"--x"`},
	"servedName":                     {`"other"`, `"a b"`},
	"engine":                         {`"vllm"`, `"sglang"`, `"trtllm"`, `"mocker"`},
	"mode":                           {`"aggregated"`, `"disagg"`},
	"replicas":                       {`2`},
	"prefill.replicas":               {`2`},
	"decode.replicas":                {`2`},
	"engineArgs":                     {`{"a": 1}`, `{"tensor_parallel_size": 2}`, `{"dp_size": 2}`, `{"a": true}`, `{"a": [1]}`, `{"--a": 1}`},
	"dynamoArgs":                     {`{"a": 1}`, `{"connector": "x"}`},
	"kvEventsConfig":                 {`{"a": 1}`, `{"enable_kv_cache_events": true}`, `{"enable_kv_cache_events": false}`, `{"topic": "x"}`, `{"endpoint": "x"}`},
	"kvTransferConfig":               {`{"kv_connector": "X"}`},
	"router.mode":                    {`"kv"`, `"random"`, `"auto"`},
	"router.kvEvents":                {`true`, `false`},
	"env":                            {`{"A": "b"}`, `{"FLASHINFER_WORKSPACE_BASE": "b"}`, `{"PYTHONHASHSEED": "1"}`, `{"DYN_RUNTIME_NUM_WORKER_THREADS": "1"}`},
	"runtimeEnv":                     {`{"pip": ["a"]}`, `{"env_vars": {"A": "b"}}`, `{"env_vars": {"DYN_LOG": "debug"}}`, `{"env_vars": {"NATS_SERVER": "x"}}`},
	"resources.gpus":                 {`2`},
	"resources.cpus":                 {`2`},
	"placement.excludeHeadNode":      {`true`},
	"placement.nodeSelector":         {`{"zone": "b"}`},
	"placement.waitForNodes":         {`true`, `false`},
	"priority":                       {`1`},
	"update.type":                    {`"Recreate"`},
	"update.maxSurge":                {`2`},
	"update.maxUnavailable":          {`1`},
	"startupTimeout":                 {`"45m"`, `"1m"`},
	"terminationGracePeriod":         {`"1m"`},
	"restart":                        {`"now"`},
	"suspend":                        {`true`},
	"dynamoNamespace":                {`"other"`},
	"requestPlane":                   {`"tcp"`},
	"eventPlane":                     {`"zmq"`},
	"etcd.endpoint":                  {`"http://10.0.0.9:2379"`},
	"nats.url":                       {`"nats://10.0.0.9:4222"`},
	"frontend.port":                  {`9000`},
	"frontend.args":                  {`{"a": 1}`, `{"migration_limit": 0}`, `{"http_port": 1}`},
	"router.args":                    {`{"a": 1}`, `{"router_mode": "kv"}`, `{"namespace": "x"}`},
	"router.apply":                   {`"frontend"`},
	"healing.backoff.initial":        {`"2s"`},
	"healing.backoff.max":            {`"1m"`},
	"healing.backoff.multiplier":     {`3`},
	"healing.backoff.jitter":         {`0`},
	"healing.backoff.resetAfter":     {`"1m"`},
	"warmPool.processesPerNode":      {`2`, `17`},
	"prefill.placement.waitForNodes": {`true`},
	"decode.placement.waitForNodes":  {`true`},
}

// actsElsewhere are fields that change how workers are watched over, replaced and
// told about, not what is started first.
var actsElsewhere = []string{
	"priority",               // who runs where GPUs are short
	"update.maxSurge",        // a roll
	"update.maxUnavailable",  // a roll
	"startupTimeout",         // how long the agent waits; vllm's own time follows it
	"terminationGracePeriod", // how long a worker drains
	"restart",                // restarts what runs
	"placement.waitForNodes", // what a group does that has no room
	"healing.backoff.initial", "healing.backoff.max", "healing.backoff.multiplier",
	"healing.backoff.jitter", "healing.backoff.resetAfter", // when an exit is followed
	"warmPool.processesPerNode", // what is there before anything is started
	"router.apply",              // which command line carries an automatic routing, once there is one
}

// effectCase is a valid server with one valid model.
type effectCase struct {
	engine, mode  string
	server, model map[string]any
}

// holdsAlready reports whether a value says what is so without it.
func (c effectCase) holdsAlready(path, value string, base Rendered) bool {
	router, _ := c.server["router"].(map[string]any)
	switch path {
	case "engine", "mode":
		return value == strconv.Quote(map[string]string{"engine": c.engine, "mode": c.mode}[path])
	case "router.mode":
		said := fmt.Sprint(cmp.Or(router["mode"], any(state.RouterAuto)))
		return value == strconv.Quote(said) || value == strconv.Quote(base.Router.Mode)
	case "router.kvEvents":
		return value == strconv.FormatBool(base.Router.KVEvents)
	case "kvEventsConfig":
		return value == `{"enable_kv_cache_events": false}` && c.mode == state.ModeAggregated && !base.Router.KVEvents
	}
	return false
}

// leaves are the fields of a spec that hold a value, without "spec.".
func leaves(typ reflect.Type, path string, out *[]string) {
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	object := typ.Kind() == reflect.Struct
	if !object {
		*out = append(*out, path)
		return
	}
	for i := range typ.NumField() {
		name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
		leaves(typ.Field(i).Type, strings.TrimPrefix(path+"."+name, "."), out)
	}
}

// set puts a value at a path of an object.
func setAt(object map[string]any, path, value string) {
	head, rest, nested := strings.Cut(path, ".")
	if !nested {
		object[head] = json.RawMessage(value)
		return
	}
	below, ok := object[head].(map[string]any)
	if !ok {
		below = map[string]any{}
	}
	below = maps.Clone(below)
	object[head] = below
	setAt(below, rest, value)
}

func effectCases() []effectCase {
	var out []effectCase
	for _, engine := range []string{"vllm", "sglang", "trtllm", "mocker"} {
		for _, mode := range []string{"aggregated", "disagg"} {
			for _, router := range []map[string]any{
				{}, {"mode": "kv", "kvEvents": true}, {"mode": "kv"}, {"mode": "random"}, {"kvEvents": false}, {"apply": "frontend"},
			} {
				model := map[string]any{"model": "a/m", "engine": engine, "mode": mode}
				if mode == "disagg" {
					model["prefill"], model["decode"] = map[string]any{}, map[string]any{}
				}
				out = append(out, effectCase{engine, mode, map[string]any{"router": router}, model})
			}
		}
	}
	return out
}

func (c effectCase) render(t *testing.T) Rendered {
	t.Helper()
	var docs []state.Doc
	for kind, spec := range map[string]map[string]any{"Server": c.server, "Model": c.model} {
		name := map[string]string{"Server": "default", "Model": "m"}[kind]
		data, err := json.Marshal(map[string]any{"apiVersion": state.APIVersion, "kind": kind, "metadata": map[string]any{"name": name}, "spec": spec})
		if err != nil {
			t.Fatal(err)
		}
		found, err := state.Decode(kind, data)
		if err != nil {
			return Rendered{Rejected: []RenderedRejection{{Reason: state.ReasonOf(err), Message: err.Error()}}}
		}
		docs = append(docs, found...)
	}
	slices.SortFunc(docs, func(a, b state.Doc) int { return a.Key().Compare(b.Key()) })
	return Render(Input{Docs: docs, Nodes: []state.Node{
		{ID: "head", IP: "10.0.0.1", GPUs: 8, CPUs: 64, Alive: true, Head: true},
		{ID: "n1", IP: "10.0.0.2", GPUs: 8, CPUs: 64, Alive: true, Labels: map[string]string{"ray.io/node-type": "worker", "zone": "b"}},
	}})
}

// On every engine, in either mode and under every kind of routing, each field that is
// set to something else than it is by default changes what would run, or is rejected,
// or a warning names it. The others are those of actsElsewhere and of holdsAlready.
func TestNothingThatIsWrittenIsDropped(t *testing.T) {
	var ofModel, ofServer []string
	leaves(reflect.TypeFor[state.ModelSpec](), "", &ofModel)
	leaves(reflect.TypeFor[state.ServerSpec](), "", &ofServer)
	for _, c := range effectCases() {
		base := c.render(t)
		if len(base.Rejected) > 0 {
			t.Fatalf("%+v: %s", c, base.Rejected[0].Message)
		}
		for _, path := range ofModel {
			c.check(t, base, "model.default.m", path)
		}
		for _, path := range ofServer {
			c.check(t, base, "server.default", path)
		}
	}
}

// check sets one field to each of its values.
func (c effectCase) check(t *testing.T, base Rendered, key, path string) {
	t.Helper()
	field := strings.TrimPrefix(strings.TrimPrefix(path, "prefill."), "decode.")
	list := values[path]
	if list == nil {
		list = values[field]
	}
	if list == nil {
		t.Fatalf("the field %s has no value to be tried with", path)
	}
	if slices.Contains(actsElsewhere, field) {
		return
	}
	for _, value := range list {
		x := effectCase{c.engine, c.mode, maps.Clone(c.server), maps.Clone(c.model)}
		if strings.HasPrefix(key, "model.") {
			setAt(x.model, path, value)
		} else {
			setAt(x.server, path, value)
		}
		got := x.render(t)
		told := slices.ContainsFunc(got.Warnings, func(w state.Warning) bool {
			return w.Key == key && strings.HasPrefix(w.Path+".", "spec."+path+".")
		})
		if len(got.Rejected) > 0 || told || c.holdsAlready(path, value, base) {
			continue
		}
		base.Warnings, got.Warnings = nil, nil
		if mustJSON(t, base) == mustJSON(t, got) {
			t.Errorf("%s, %s, router %v: spec.%s: %s of %s has no effect and nobody tells", c.engine, c.mode, fmt.Sprint(c.server["router"]), path, value, key)
		}
	}
}
