package kv

import (
	"fmt"
	"strings"
	"testing"
	"unsafe"
)

// Names that are equal are at one place, and those of a flood are not kept for ever.
func TestSharedNames(t *testing.T) {
	first := shared(strings.Clone("a-server"))
	if first != "a-server" || unsafe.StringData(shared(strings.Clone("a-server"))) != unsafe.StringData(first) {
		t.Errorf("%q is at another place the second time", first)
	}
	k, err := sharedKey("model.a-server.m")
	if err != nil || unsafe.StringData(k.Server) != unsafe.StringData(first) {
		t.Errorf("a key (%v, %v) names it at another place", k, err)
	}
	for i := range 1 << 17 {
		if name := fmt.Sprint("flood", i); shared(name) != name {
			t.Fatalf("%s became another name", name)
		}
	}
	if unsafe.StringData(shared(strings.Clone("a-server"))) == unsafe.StringData(first) {
		t.Error("a flood of names is kept")
	}
}
