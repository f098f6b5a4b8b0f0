package state

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"dynctl/state/engineflags"
)

// probes are values of every type.
var probes = []string{
	`null`, `true`, `false`, `0`, `1`, `-3`, `8192`, `0.5`, `1e30`, `""`, `"auto"`, `"8k"`, `"2M"`, `"7"`, `"0.5"`, `"true"`, `"None"`, `"a b"`,
	`[]`, `[1, 2]`, `["a", "b"]`, `[0.5]`, `[true]`, `[null]`, `[{"a": 1}]`, `{}`, `{"a": [1]}`, `"{\"a\": 1}"`,
}

const modelWith = `{"apiVersion":"dynctl/v1alpha1","kind":"Model","metadata":{"name":"m"},"spec":{"model":"m",%s}}`

func schemaTakes(t *testing.T, schema *jsonschema.Schema, text string) error {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return schema.Validate(value)
}

// An editor marks no value that the engine's parser takes, whatever the flag, and
// every choice and default is one that it takes.
func TestSchemaOfArgumentsRefusesNothingThatIsTaken(t *testing.T) {
	schema := compileSchema(t, KindModel)
	for _, engine := range Engines() {
		table, marked := engineflags.Recorded(engine), 0
		for _, f := range Arguments(engine) {
			values := probes
			for _, word := range append(f.Choices, f.Besides...) {
				quoted, _ := json.Marshal(word)
				values = append(values, string(quoted), "["+string(quoted)+"]")
				if json.Valid([]byte(strings.ToLower(word))) {
					values = append(values, strings.ToLower(word))
				}
			}
			for _, key := range f.Keys() {
				for _, value := range values {
					_, problem := table.Words(key, json.RawMessage(value))
					err := schemaTakes(t, schema, fmt.Sprintf(modelWith, fmt.Sprintf(`"engine":%q,"engineArgs":{%q:%s}`, engine, key, value)))
					if problem == nil && err != nil {
						t.Errorf("%s.%s: %s is taken, and the schema says %v", engine, key, value, err)
					}
					if err != nil {
						marked++
					}
				}
			}
		}
		if marked < 100 {
			t.Errorf("the schema marks %d values of %s: it checks nothing", marked, engine)
		}
	}
}

func TestSchemaMarksArgumentsByEngine(t *testing.T) {
	schema := compileSchema(t, KindModel)
	for spec, valid := range map[string]bool{
		`"engineArgs":{"enforce_eager":"yes"}`:                                       false, // vllm, where no engine is written
		`"engine":null,"engineArgs":{"enforce_eager":"yes"}`:                         false,
		`"engine":"vllm","engineArgs":{"dtype":"fp16"}`:                              false,
		`"engine":"vllm","dynamoArgs":{"dtype":"fp16"}`:                              false,
		`"engine":"vllm","engineArgs":{"tp":true}`:                                   false, // another name
		`"engine":"vllm","mode":"disagg","decode":{"engineArgs":{"dtype":"fp16"}}`:   false,
		`"engine":"vllm","mode":"disagg","prefill":{"dynamoArgs":{"dtype":"fp16"}}`:  false,
		`"engine":"vllm","mode":"disagg","prefill":{"engineArgs":{"dtype":"auto"}}`:  true,
		`"engine":"sglang","engineArgs":{"enforce_eager":"yes"}`:                     true, // no flag of its
		`"engine":"sglang","engineArgs":{"disable_radix_cache":"yes"}`:               false,
		`"engine":"trtllm","engineArgs":{"trtllm.kv_cache_config.max_tokens":1}`:     true,
		`"engine":"mocker","engineArgs":{"speedup_ratio":[1]}`:                       false,
		`"engineArgs":{"of_a_plugin":[{"a":1}],"compilation_config.mode":3}`:         true,
		`"engineArgs":{"max_model_len":"8k","cudagraph_capture_sizes":[1,2],"tp":2}`: true,
	} {
		if err := schemaTakes(t, schema, fmt.Sprintf(modelWith, spec)); (err == nil) != valid {
			t.Errorf("%s: %v, want valid: %t", spec, err, valid)
		}
	}
	server := compileSchema(t, KindServer)
	const head = `{"apiVersion":"dynctl/v1alpha1","kind":"Server","metadata":{"name":"m"},"spec":{`
	for spec, valid := range map[string]bool{
		`"frontend":{"args":{"migration_limit":[1]}}`:         false,
		`"router":{"args":{"router_temperature":{}}}`:         false,
		`"router":{"args":{"router_temperature":0.5}}`:        true,
		`"frontend":{"args":null},"router":{"args":{"x":{}}}`: true,
	} {
		if err := schemaTakes(t, server, head+spec+`}}`); (err == nil) != valid {
			t.Errorf("%s: %v, want valid: %t", spec, err, valid)
		}
	}
}

// What an editor offers can be written: no flag that dynctl sets itself, and none
// that ends the program.
func TestArgumentsAreThoseThatASpecCanSet(t *testing.T) {
	for _, program := range append(Engines(), engineflags.Frontend) {
		names := map[string]bool{}
		for _, f := range Arguments(program) {
			names[f.Key()] = true
		}
		for _, no := range []string{"help", "endpoint", "model", "served_model_name", "http_port", "request_plane", "kv_events_config"} {
			if names[no] {
				t.Errorf("%s offers %s", program, no)
			}
		}
		if len(names) < 30 {
			t.Errorf("%s offers %d arguments", program, len(names))
		}
	}
}

// Editors fetch the schema for each file that they open.
func TestSchemaStaysSmall(t *testing.T) {
	text, err := JSONSchema("")
	if err != nil || len(text) > 1<<20 {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}

// What is offered for a program is what a spec may say: no flag that is refused as
// managed is offered, and none that is held back would be taken.
func TestOfferedIsWhatIsNotManaged(t *testing.T) {
	for _, engine := range Engines() {
		offered := map[string]bool{}
		for _, f := range Arguments(engine) {
			for _, key := range f.Keys() {
				offered[key] = true
			}
		}
		for _, f := range engineflags.Recorded(engine).Flags() {
			for _, key := range f.Keys() {
				if f.Kind == engineflags.KindExit {
					continue
				}
				m := Model{Metadata: Metadata{Name: "m"}, Spec: ModelSpec{Model: "org/m", Engine: engine, EngineArgs: args(key, `"x"`)}}.WithDefaults()
				managed := slices.ContainsFunc(ValidateModel(m, DefaultedServer("default").Spec), func(x *Invalid) bool { return x.Reason == ReasonManagedFlag })
				if managed == offered[key] {
					t.Errorf("%s: %s is offered: %v, refused as managed: %v", engine, key, offered[key], managed)
				}
			}
		}
	}
}
