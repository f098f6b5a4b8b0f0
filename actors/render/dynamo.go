package render

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"dynctl/actors"
	"dynctl/state"
)

// What the releases of Dynamo understand; docs/dynamo.md has the table.
var (
	// dynamoOldest is the oldest release whose workers take the command lines that
	// are rendered here.
	dynamoOldest = state.Version{Major: 1, Minor: 4}
	// CardsSince is the first release whose workers carry a routing of their own.
	CardsSince = state.Version{Major: 1, Minor: 5}
	// dynamoTested is the newest release that the integration tests run.
	dynamoTested = state.Version{Major: 1, Minor: 6}
)

// nodeDynamo is the release of Dynamo on one node.
type nodeDynamo struct {
	node    string
	text    string // as the node tells it
	version state.Version
}

// Releases are the releases of Dynamo on the nodes.
type Releases struct{ on []nodeDynamo } // oldest first

// ReleasesOn lists those of the nodes that are alive and tell one.
func ReleasesOn(nodes []state.Node) Releases {
	var out []nodeDynamo
	last, v, known := "", state.Version{}, false // of the node before: most have the same
	for i := range nodes {
		n := &nodes[i]
		if text := n.Versions["dynamo"]; text != last {
			last = text
			v, known = state.ParseVersion(text)
		}
		if known && n.Alive {
			out = append(out, nodeDynamo{n.ID, last, v})
		}
	}
	slices.SortFunc(out, func(a, b nodeDynamo) int {
		return cmp.Or(a.version.Compare(b.version), cmp.Compare(a.text, b.text), cmp.Compare(a.node, b.node))
	})
	return Releases{out}
}

// Equal reports whether the same nodes have the same releases.
func (r Releases) Equal(o Releases) bool { return slices.Equal(r.on, o.on) }

// Oldest is the oldest release as its node tells it; empty where no node tells one.
func (r Releases) Oldest() string {
	if len(r.on) == 0 {
		return ""
	}
	return r.on[0].text
}

// NoCards reports whether a node has a Dynamo whose workers refuse a routing of their
// own: there the frontend has to carry it.
func (r Releases) NoCards() bool {
	return len(r.on) > 0 && r.on[0].version.Before(CardsSince)
}

// TooOld says why nothing is started while a node has a Dynamo that is too old; empty
// where none has. A runtime_env may bring another one, which nobody can tell before.
func (r Releases) TooOld(env state.Args) string {
	on := r.on
	if len(on) == 0 || !on[0].version.Before(dynamoOldest) || BringsPackages(env) {
		return ""
	}
	return fmt.Sprintf("node %s has Dynamo %s, and %s is the oldest that takes these command lines; install ai-dynamo %s or later on every node, or name it in runtimeEnv",
		on[0].node, on[0].text, dynamoOldest, dynamoTested)
}

// BringsPackages reports whether a runtime_env installs packages or an image.
func BringsPackages(env state.Args) bool {
	return slices.ContainsFunc(env, func(a state.Arg) bool {
		return slices.Contains([]string{"pip", "uv", "conda", "image_uri", "container", "py_executable"}, a.Key) && string(a.Value) != "null"
	})
}

// Warn warns of what the releases on the nodes mean for a server.
func (r Releases) Warn(server string) []state.Warning {
	on := r.on
	if len(on) == 0 {
		return nil
	}
	var out []state.Warning
	warn := func(format string, args ...any) {
		out = append(out, state.Warning{Key: state.ServerKey(server).String(), Message: fmt.Sprintf(format, args...)})
	}
	oldest, newest := on[0], on[len(on)-1]
	if oldest.version != newest.version {
		warn("the nodes have different releases of Dynamo (%s): workers of one model may not understand each other; install one release everywhere", versions(on))
	}
	if dynamoTested.Before(newest.version) {
		warn("Dynamo %s on node %s is newer than %s, the newest that was tested", newest.text, newest.node, dynamoTested)
	}
	return out
}

// versions names the first node of each release.
func versions(on []nodeDynamo) string {
	var out []string
	for i, d := range on {
		if i == 0 || d.version != on[i-1].version {
			out = append(out, d.text+" on node "+d.node)
		}
	}
	return strings.Join(out, ", ")
}

// withoutCard takes the routing of its own from a worker's command line, for a Dynamo
// that does not know it.
func withoutCard(argv []actors.Text) []actors.Text {
	out := make([]actors.Text, 0, len(argv))
	for i := 0; i < len(argv); i++ {
		switch argv[i].S {
		case "--router-mode":
			i++
		case "--router-kv-events", "--no-router-kv-events":
		default:
			out = append(out, argv[i])
		}
	}
	return out
}
