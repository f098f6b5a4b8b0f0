package prose

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 90 * time.Second: "90s", 3 * time.Minute: "3m", 119 * time.Minute: "119m", 47 * time.Hour: "47h", 72 * time.Hour: "3d",
	} {
		if got := Span(d); got != want {
			t.Errorf("span(%s) = %s, want %s", d, got, want)
		}
	}
}

func TestJSONErrorNamesTheLine(t *testing.T) {
	data := []byte("{\n\"a\": 1,,\n}")
	var v any
	if err := JSONError(data, json.Unmarshal(data, &v)); err == nil || !strings.HasPrefix(err.Error(), "line 2: ") {
		t.Errorf("got %v", err)
	}
	other := errors.New("other")
	if err := JSONError(data, other); !errors.Is(err, other) || err.Error() != "other" {
		t.Errorf("got %v", err)
	}
}

func TestLines(t *testing.T) {
	const text = "one\ntwo\n\n"
	if first, last := FirstLine(text), LastLine(text); first != "one" || last != "two" {
		t.Errorf("first %q, last %q", first, last)
	}
	if FirstLine("") != "" || LastLine("") != "" {
		t.Error("an empty text has lines")
	}
}
