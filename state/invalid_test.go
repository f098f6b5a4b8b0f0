package state

import (
	"errors"
	"strings"
	"testing"
)

// What is rejected tells its reason once, also where the error told it already.
func TestInvalidOf(t *testing.T) {
	large := make([]byte, MaxValueSize+1)
	_, tooLarge := DecodeValue(ModelKey("default", "m"), large)
	_, mismatch := DecodeValue(ModelKey("default", "m"), []byte(`{apiVersion: dynctl/v1alpha1, kind: Model, metadata: {name: n}, spec: {model: a/n}}`))
	for reason, err := range map[string]error{ReasonTooLarge: tooLarge, ReasonKeyMismatch: mismatch, ReasonInvalidSpec: errors.New("no document")} {
		invalid := InvalidOf(err)
		if text := invalid.Error(); invalid.Reason != reason || strings.Count(text, "("+reason+")") != 1 || !strings.HasPrefix(err.Error(), invalid.Message) {
			t.Errorf("%v becomes %s: %s", err, invalid.Reason, text)
		}
	}
}
