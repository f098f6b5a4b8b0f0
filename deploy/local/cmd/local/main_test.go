package main

import (
	"io"
	"strings"
	"testing"
)

// What a verb has no use for is refused, and not dropped.
func TestTheFrontendsPortIsOfTheDemo(t *testing.T) {
	for verb, refused := range map[string]bool{"up": true, "demo": false, "smoke": false} {
		_, err := parse(verb, []string{"--frontend-port", "8001"}, io.Discard)
		if got := err != nil && strings.Contains(err.Error(), "spec.frontend.port"); got != refused {
			t.Errorf("%s: %v, refused %v wanted", verb, err, refused)
		}
	}
}
