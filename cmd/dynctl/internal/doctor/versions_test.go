package doctor

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestTestedVersions: what doctor calls tested is what the tests install, and the
// agent is the one of this tree.
func TestTestedVersions(t *testing.T) {
	pinned := func(file, pattern string) string {
		t.Helper()
		text, err := os.ReadFile("../../../../" + file)
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(pattern).FindStringSubmatch(string(text))
		if m == nil {
			t.Fatalf("%s has nothing like %s", file, pattern)
		}
		return m[1]
	}
	const requirements = "deploy/python/requirements.in"
	for key, is := range map[string]string{
		"python": pinned("Makefile", `--python-version (\S+) --generate-hashes --overrides deploy/python/vllm`),
		"ray":    pinned(requirements, `(?m)^ray\S*==(\S+)`),
		"dynamo": pinned(requirements, `(?m)^ai-dynamo\S*==(\S+)`),
	} {
		for _, x := range tested {
			if x.key == key && is != x.version && !strings.HasPrefix(is, x.version+".") {
				t.Errorf("%s %s is installed for the tests, and doctor says %s", x.name, is, x.version)
			}
		}
	}
	if is := pinned("actors/agent/dynctl_agent/__init__.py", `(?m)^VERSION = "(.*)"`); is != AgentVersion {
		t.Errorf("the agent is of version %s, and doctor expects %s", is, AgentVersion)
	}
}
