package state

import (
	"errors"
	"strings"
	"testing"
)

// A comma that is missing between two keys in brackets is a fault with its place;
// the library would take the rest for the value.
func TestFlowWithoutComma(t *testing.T) {
	for _, tt := range []struct {
		name, args string
		column     int // of the caret; 0: it is read
	}{
		{"two keys", "{xa: 1 xb: 2}", 24},
		{"a quoted key before", `{"xa": 1 xb: 2}`, 26},
		{"three keys", "{xa: 1, xb: 2 xc: 3}", 31},
		{"a key without a value", "{xa: b:}", 21},
		{"within a list", "{xa: [{b: 1 c: 2}]}", 28},
		{"beside other alphabets", "{é: ü xb: 2}", 23},
		{"folded", "{xa: 1 b\n    c: 2}", 1},
		{"text in quotes", `{xa: "1 xb: 2", xc: 'a: b'}`, 0},
		{"an address", "{xa: http://h:1, xb: 12:30, xc: a:b}", 0},
		{"a list of pairs", "{xa: [a: 1, b: 2]}", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Decode("f", []byte(modelHead+"  engineArgs: "+tt.args+"\n"))
			if tt.column == 0 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			place, ok := errors.AsType[*SpecError](err)
			if !ok {
				t.Fatalf("it is taken: %v", err)
			}
			if tt.column > 1 && place.Column != tt.column || !strings.Contains(place.Snippet, "^") {
				t.Errorf("column %d, want %d\n%v", place.Column, tt.column, err)
			}
		})
	}
}
