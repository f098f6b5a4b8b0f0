package policy

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"

	"dynctl/state"
)

// packageKeys are the keys of a runtime_env that install packages. By name they come from
// the index that the nodes are set to, as all that is installed there does; a URL, a path
// or an option brings them from where the spec says.
var packageKeys = []string{"pip", "uv"}

const (
	project    = `[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?`
	specifiers = `(?:[ \t]*(?:===?|[<>!~]=|[<>])[ \t]*[A-Za-z0-9.*+!_-]+[ \t]*,?)*`
)

var (
	// requirement is a package by name: extras, versions and a marker, and nothing that
	// says from where it comes.
	requirement = regexp.MustCompile(`^` + project + `[ \t]*(?:\[[A-Za-z0-9._, \t-]*\])?` + specifiers + `(?:[ \t]*;[A-Za-z0-9_.'"<>=!~() \t-]*)?$`)
	// version is what Ray puts behind the installer's own name.
	version = regexp.MustCompile(`^` + specifiers + `$`)
)

// archives are endings by which an installer takes a name for a file.
var archives = []string{".whl", ".zip", ".tar", ".gz", ".bz2", ".xz", ".tgz", ".txt"}

// packages judges what pip or uv would install, and how.
func (j *judge) packages(at string, x state.Arg) {
	rule := "defaults: runtimeEnv " + x.Key + " by URL"
	deny := func(at, what string) {
		j.deny(at, rule, "%s: packages are named as NAME or NAME==VERSION, and come from the index of the nodes; "+
			"put it into the image, or have a policy with runtimeEnv.allow: [%s]", what, x.Key)
	}
	var list []string
	if json.Unmarshal(x.Value, &list) != nil {
		var how map[string]json.RawMessage
		if json.Unmarshal(x.Value, &how) != nil {
			deny(at, "a file")
			return
		}
		if raw, ok := how["packages"]; ok && json.Unmarshal(raw, &list) != nil {
			deny(at+".packages", "a file")
		}
		for _, key := range slices.Sorted(maps.Keys(how)) {
			text := ""
			switch {
			case key == "packages", key == x.Key+"_check":
			case key == x.Key+"_version" && json.Unmarshal(how[key], &text) == nil && version.MatchString(text):
			default:
				deny(at+"."+key, string(how[key]))
			}
		}
		at += ".packages"
	}
	for _, p := range list {
		lower := strings.ToLower(p)
		isFile := slices.ContainsFunc(archives, func(end string) bool { return strings.HasSuffix(lower, end) })
		if !requirement.MatchString(p) || isFile {
			deny(at, p)
		}
	}
}
