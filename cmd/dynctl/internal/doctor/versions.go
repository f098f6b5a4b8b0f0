package doctor

import (
	"fmt"
	"strings"

	"dynctl/state"
)

// tested are the versions of the Ray side that the integration tests run, by the
// names that the agent gives them.
var tested = []struct{ key, name, version string }{
	{"python", "Python", "3.11"},
	{"ray", "Ray", "2.60"},
	{"dynamo", "Dynamo", "1.6"},
}

// AgentVersion is that of the agent which a reconciler of this version submits.
const AgentVersion = "1"

// VersionList is "Python 3.11.9, Ray 2.60.0"; what is not known is left out.
func VersionList(versions map[string]string) string {
	var parts []string
	for _, t := range tested {
		if v := versions[t.key]; v != "" {
			parts = append(parts, t.name+" "+v)
		}
	}
	return strings.Join(parts, ", ")
}

// untested are the reported versions that are not the tested ones: "Ray 2.61.0,
// tested with 2.60".
func untested(agent state.Agent) []string {
	var parts []string
	for _, t := range tested {
		v := agent.Versions[t.key]
		if v != "" && v != t.version && !strings.HasPrefix(v, t.version+".") {
			parts = append(parts, fmt.Sprintf("%s %s, tested with %s", t.name, v, t.version))
		}
	}
	return parts
}

// unreported are the tested parts of whose version the agent says nothing.
func unreported(agent state.Agent) []string {
	var parts []string
	for _, t := range tested {
		if agent.Versions[t.key] == "" {
			parts = append(parts, t.name)
		}
	}
	return parts
}
