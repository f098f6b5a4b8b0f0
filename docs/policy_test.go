package docs_test

import (
	"strings"
	"testing"

	"dynctl/state/policy"
)

// TestPolicyPageHasTheDefaults: what is denied without a file stands on docs/policy.md,
// and its example is a policy.
func TestPolicyPageHasTheDefaults(t *testing.T) {
	page := read(t, "docs/policy.md")
	for _, w := range policy.Defaults() {
		if !strings.Contains(page, "`"+w.Pattern+"`") {
			t.Errorf("docs/policy.md does not have %s of %s", w.Pattern, w.Section)
		}
	}
	for _, root := range policy.DefaultRoots {
		if !strings.Contains(page, "`"+root+"`") {
			t.Errorf("docs/policy.md does not have the root %s", root)
		}
	}
	_, rest, _ := strings.Cut(page, "```yaml title=policy.yaml\n")
	example, _, _ := strings.Cut(rest, "```")
	if _, err := policy.Parse("docs/policy.md", []byte(example)); err != nil {
		t.Error(err)
	}
}
