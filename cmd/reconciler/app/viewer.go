package app

import (
	"encoding/json"

	"dynctl/state"
	"dynctl/state/kv"
)

// hidden stands in place of what a viewer is not to see.
const hidden = "hidden"

// forViewers takes out of a value of a bucket what a viewer is not to see: the values of
// environments, what logs say, and the templates, which hold both. What cannot be read is
// hidden whole.
func forViewers(bucket string, value []byte) []byte {
	if bucket == kv.BucketSpecs {
		docs, err := state.Decode("", value)
		if err != nil || len(docs) != 1 {
			return nil
		}
		value = state.RedactDocument(docs[0].Raw)
	}
	var v any
	if json.Unmarshal(value, &v) != nil {
		return nil
	}
	out, err := json.Marshal(withoutSecretsOf(v))
	if err != nil {
		return nil
	}
	return out
}

// withoutSecretsOf walks a document. Wherever they stand, an env is one of names and
// values, and what a log said is under one of these names.
func withoutSecretsOf(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			switch key {
			case "template", "logTail", "cause":
				delete(v, key)
			case "env", "env_vars", "environment":
				v[key] = hideValues(value)
			default:
				v[key] = withoutSecretsOf(value)
			}
		}
	case []any:
		for i := range v {
			v[i] = withoutSecretsOf(v[i])
		}
	}
	return v
}

// hideValues keeps the names of an environment, and where a value comes from when it stands
// elsewhere.
func hideValues(env any) any {
	names, ok := env.(map[string]any)
	if !ok {
		return nil
	}
	for name, value := range names {
		if from, ok := value.(map[string]any); ok && (from["fromFile"] != nil || from["fromEnv"] != nil) {
			continue
		}
		names[name] = hidden
	}
	return names
}
