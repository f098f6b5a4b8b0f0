package state

import (
	"strings"
	"testing"
)

func TestWarningsTextIsBounded(t *testing.T) {
	long := Warning{Path: "spec.env.A", Message: strings.Repeat("x", 1000)}
	text := WarningsText([]Warning{long, long, long, long, long, long})
	if len(text) > maxWarningsText+100 || !strings.HasSuffix(text, "\n... and 2 more") {
		t.Errorf("%d bytes, ending in %q; want at most 4 KiB and the others counted", len(text), text[len(text)-40:])
	}
	huge := Warning{Path: "spec.env.A", Message: strings.Repeat("ä", 1<<18)}
	if text := WarningsText([]Warning{huge, long}); len(text) > maxWarningsText+100 || !strings.HasSuffix(text, " ...\n... and 1 more") {
		t.Errorf("%d bytes of one long warning, ending in %q", len(text), text[len(text)-40:])
	}
	if got, want := WarningsText([]Warning{{Path: "spec.a", Message: "b"}, {Message: "c"}}), "spec.a: b\nc"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
