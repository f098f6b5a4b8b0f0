package state

import (
	"strings"
	"testing"
)

// contractFlags are the managed flags of the specification of specs, word by word.
const contractFlags = "served-model-name endpoint discovery-backend request-plane event-plane router-mode router-kv-events " +
	"kv-events-config kv-events kv-transfer-config disaggregation-mode headless nnodes node-rank master-addr master-port " +
	"dist-init-addr http-port namespace namespace-prefix model model-path model-name load-aware"

// Every managed flag is refused in each spelling and abbreviation by which a parser
// would take it, in each field of arguments of a model.
func TestManagedFlagsInEverySpelling(t *testing.T) {
	for flag := range strings.FieldsSeq(contractFlags) {
		var keys []string
		for n := 1; n <= len(flag); n++ {
			keys = append(keys, flag[:n], strings.ReplaceAll(flag[:n], "-", "_"), "no-"+flag[:n], "no_"+flag[:n])
		}
		keys = append(keys, "--"+flag, flag+"=x", flag+".x")
		for _, key := range keys {
			for field, put := range map[string]func(*ModelSpec, Args){
				"spec.engineArgs":         func(m *ModelSpec, a Args) { m.EngineArgs = a },
				"spec.dynamoArgs":         func(m *ModelSpec, a Args) { m.DynamoArgs = a },
				"spec.prefill.engineArgs": func(m *ModelSpec, a Args) { m.Prefill.EngineArgs = a },
				"spec.decode.dynamoArgs":  func(m *ModelSpec, a Args) { m.Decode.DynamoArgs = a },
			} {
				m := Model{Metadata: Metadata{Name: "m"}, Spec: ModelSpec{Model: "org/m", Mode: ModeDisagg}}.WithDefaults()
				put(&m.Spec, args(key, `"x"`))
				bad := ValidateModel(m, DefaultedServer("default").Spec)
				if len(bad) == 0 || bad[0].Reason != ReasonManagedFlag || bad[0].Path != field+"."+key {
					t.Errorf("%s.%s: got %v, want %s", field, key, bad, ReasonManagedFlag)
				}
			}
		}
	}
}
