package main

import "testing"

// TestTermsAreExplained: whatever status and events print has a text.
func TestTermsAreExplained(t *testing.T) {
	for _, x := range terms() {
		if x.text == "" {
			t.Errorf("the %s %s has no text", x.kind, x.word)
		}
	}
	if len(conditionTexts) != len(conditionTypes) || len(eventTexts) != len(eventTypes) {
		t.Error("a text is of a condition or an event that does not exist")
	}
}
