package policy

import (
	"cmp"
	"fmt"
	"path"
	"strings"

	"dynctl/state"
)

// Kind is the kind of the document.
const Kind = "Policy"

// Policy is what specs may ask for. The zero value denies what the defaults do; a nil
// one denies nothing.
type Policy struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Engines are spec.engine of models.
	Engines Choice `json:"engines,omitzero"`
	// Models are beginnings of spec.model: end them with / to mean an owner or a directory.
	Models Choice `json:"models,omitzero"`
	// Arguments are keys of engineArgs, dynamoArgs, frontend.args and router.args; what is
	// denied is denied inside of values and connectors too.
	Arguments Keys `json:"arguments,omitzero"`
	// Env are the names of variables.
	Env Keys `json:"env,omitzero"`
	// RuntimeEnv are the keys of Ray's runtime_env.
	RuntimeEnv RuntimeEnv `json:"runtimeEnv,omitzero"`
	FromFile   FromFile   `json:"fromFile,omitzero"`
	// FromEnv are the names of the variables of a node that a spec may read.
	FromEnv Choice `json:"fromEnv,omitzero"`
	Limits  Limits `json:"limits,omitzero"`
}

// Choice is a list of patterns that alone are allowed, and one of those that are not.
// Deny has the last word.
type Choice struct {
	// Only are the ones that are allowed; left out: all.
	Only []string `json:"only,omitempty"`
	Deny []string `json:"deny,omitempty"`
}

// Keys is a Choice over the defaults. The first that fits counts: Deny; not in Only;
// Allow; the defaults.
type Keys struct {
	Only []string `json:"only,omitempty"`
	// Allow are those that the defaults would deny.
	Allow []string `json:"allow,omitempty"`
	Deny  []string `json:"deny,omitempty"`
}

// RuntimeEnv is Keys, and from where working_dir and py_modules may be loaded.
type RuntimeEnv struct {
	Only  []string `json:"only,omitempty"`
	Allow []string `json:"allow,omitempty"`
	Deny  []string `json:"deny,omitempty"`
	// URLs are beginnings of URLs, each with a / behind the host.
	URLs []string `json:"urls,omitempty"`
}

func (r RuntimeEnv) keys() Keys { return Keys{Only: r.Only, Allow: r.Allow, Deny: r.Deny} }

// FromFile says where files lie that a spec may read.
type FromFile struct {
	// Roots are directories; left out: DefaultRoots. An empty list: no file at all.
	Roots []string `json:"roots,omitzero"`
}

// Limits bound what one server may hold. Nil: no limit.
type Limits struct {
	// GPUs are those of all replicas of its models.
	GPUs   *int `json:"gpus,omitempty"`
	Models *int `json:"models,omitempty"`
}

// Default is the policy without a file.
func Default() *Policy { return &Policy{APIVersion: state.APIVersion, Kind: Kind} }

// Bounds of a policy.
const (
	maxEntries = 1000
	maxEntry   = 512 // bytes
)

// Parse reads a policy. The error names every place that is wrong, and what would be
// right there.
func Parse(file string, data []byte) (*Policy, error) {
	var p Policy
	doc, err := state.DecodeConfig(file, data, Kind, &p)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, wrong := range p.check() {
		errs = append(errs, doc.Place(wrong))
	}
	if err := state.JoinFaults(errs...); err != nil {
		return nil, err
	}
	return &p, nil
}

// list is one list of the document, with what an entry of it has to be.
type list struct {
	path    string
	entries []string
	rule    func(string) string // what is wrong with an entry; "" is nothing
}

func (p *Policy) lists() []list {
	keys := func(at string, k Keys) []list {
		return []list{{at + ".only", k.Only, pattern}, {at + ".allow", k.Allow, pattern}, {at + ".deny", k.Deny, pattern}}
	}
	choice := func(at string, c Choice, rule func(string) string) []list {
		return []list{{at + ".only", c.Only, rule}, {at + ".deny", c.Deny, rule}}
	}
	var out []list
	out = append(out, choice("engines", p.Engines, engine)...)
	out = append(out, choice("models", p.Models, prefix)...)
	out = append(out, keys("arguments", p.Arguments)...)
	out = append(out, keys("env", p.Env)...)
	out = append(out, keys("runtimeEnv", p.RuntimeEnv.keys())...)
	out = append(out, list{"runtimeEnv.urls", p.RuntimeEnv.URLs, address}, list{"fromFile.roots", p.FromFile.Roots, root})
	return append(out, choice("fromEnv", p.FromEnv, pattern)...)
}

// check finds entries that would silently fit nothing, or more than they say.
func (p *Policy) check() []*state.Invalid {
	var out []*state.Invalid
	add := func(at, message string) {
		out = append(out, &state.Invalid{Reason: state.ReasonInvalidSpec, Path: at, Message: message})
	}
	for _, l := range p.lists() {
		if len(l.entries) > maxEntries {
			add(l.path, fmt.Sprintf("there are %d entries, and at most %d are taken; use * for what has a beginning in common", len(l.entries), maxEntries))
			continue
		}
		for i, e := range l.entries {
			at := fmt.Sprintf("%s.%d", l.path, i)
			switch wrong := l.rule(e); {
			case strings.TrimSpace(e) != e || strings.ContainsFunc(e, state.Hidden):
				add(at, "there is white space, or a character that cannot be seen; remove it")
			case e == "":
				add(at, "an empty entry fits nothing; remove it")
			case len(e) > maxEntry:
				add(at, fmt.Sprintf("an entry has at most %d bytes; shorten it with *", maxEntry))
			case wrong != "":
				add(at, wrong)
			}
		}
	}
	for _, n := range []struct {
		path  string
		value *int
	}{{"limits.gpus", p.Limits.GPUs}, {"limits.models", p.Limits.Models}} {
		if n.value != nil && *n.value < 0 {
			add(n.path, "a limit is 0 or more; leave it out for none")
		}
	}
	return out
}

func pattern(e string) string {
	if strings.ContainsAny(e, " \t=") {
		return "a name holds neither a space nor =; write each name as an entry of its own, with * for any text"
	}
	return ""
}

func engine(e string) string {
	for _, known := range engines {
		if matches(e, known) {
			return ""
		}
	}
	hint := ""
	if near := state.Nearest(e, engines); near != "" {
		hint = "; did you mean " + near + "?"
	}
	return "there is no such engine: " + strings.Join(engines, ", ") + hint
}

var engines = []string{state.EngineVLLM, state.EngineSGLang, state.EngineTRTLLM, state.EngineMocker}

func prefix(e string) string {
	if strings.Contains(e, "*") {
		return "this is the beginning of a model, and needs no *; write it as far as it has to fit, such as Qwen/"
	}
	return ""
}

func address(e string) string {
	scheme, rest, ok := strings.Cut(e, "://")
	host, _, slash := strings.Cut(rest, "/")
	if !ok || scheme == "" || !slash || host == "" && scheme != "file" || strings.ContainsAny(e, "@\\*") || strings.Contains(e, "..") {
		return "want the beginning of a URL with a / behind the host, such as https://packages.example/team/"
	}
	return ""
}

func root(e string) string {
	if !path.IsAbs(e) || path.Clean(e) != e {
		return "want an absolute directory without ., .. and a / at its end, such as " + cmp.Or(path.Clean("/"+e), "/run/secrets")
	}
	return ""
}
