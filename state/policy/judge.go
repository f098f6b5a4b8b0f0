package policy

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"dynctl/state"
	"dynctl/state/engineflags"
)

// Denial is one place of a spec that a rule denies.
type Denial struct {
	// Path is the field: "spec.env.LD_PRELOAD".
	Path string `json:"path"`
	// Rule is where it is denied: "env.deny AWS_*" of the policy's file, or
	// "defaults: env LD_*".
	Rule string `json:"rule"`
	// Message says why, and what would allow it.
	Message string `json:"message"`
}

// Invalid is the denial as a broken rule of a spec, with the reason PolicyDenied.
func (d Denial) Invalid() *state.Invalid {
	return &state.Invalid{Reason: state.ReasonPolicyDenied, Path: d.Path, Message: d.Message + " (rule: " + d.Rule + ")"}
}

// judge collects the denials of one object.
type judge struct {
	policy  *Policy
	denials []Denial
	more    int
}

// deny notes a denial. Past state.MaxFaults they are only counted.
func (j *judge) deny(at, rule, format string, args ...any) {
	if len(j.denials) >= state.MaxFaults {
		j.more++
		return
	}
	j.denials = append(j.denials, Denial{Path: at, Rule: rule, Message: fmt.Sprintf(format, args...)})
}

func (j *judge) done() []Denial {
	if j.more > 0 {
		last := &j.denials[len(j.denials)-1]
		last.Message += fmt.Sprintf("; and %d more places are denied", j.more)
	}
	return j.denials
}

// Server returns what a server asks for and may not.
func (p *Policy) Server(s state.Server) []Denial {
	if p == nil {
		return nil
	}
	j := &judge{policy: p}
	table := s.Spec.FrontendTable(nil)
	j.arguments("spec.router.args", table, s.Spec.Router.Args)
	j.arguments("spec.frontend.args", table, s.Spec.Frontend.Args)
	j.env("spec.env", s.Spec.Env)
	j.runtimeEnv("spec.runtimeEnv", s.Spec.RuntimeEnv)
	return j.done()
}

// Model returns what a model asks for and may not, whatever else its server holds.
func (p *Policy) Model(m state.Model) []Denial {
	if p == nil {
		return nil
	}
	j, spec := &judge{policy: p}, m.Spec
	j.engine(spec.Engine)
	j.model(spec.Model)
	j.worker("spec", spec.Engine, state.RoleSpec{
		EngineArgs: spec.EngineArgs, DynamoArgs: spec.DynamoArgs, KVEventsConfig: spec.KVEventsConfig, KVTransferConfig: spec.KVTransferConfig, Env: spec.Env,
	})
	for _, role := range []string{state.RolePrefill, state.RoleDecode} {
		if r := spec.Role(role); r != nil {
			j.worker("spec."+role, spec.Engine, *r)
		}
	}
	j.runtimeEnv("spec.runtimeEnv", spec.RuntimeEnv)
	return j.done()
}

// worker judges what a model and a role say alike.
func (j *judge) worker(at, engine string, r state.RoleSpec) {
	table := engineflags.Recorded(engine)
	j.arguments(at+".engineArgs", table, r.EngineArgs)
	j.arguments(at+".dynamoArgs", table, r.DynamoArgs)
	for _, x := range []struct {
		name string
		args state.Args
	}{{"kvEventsConfig", r.KVEventsConfig}, {"kvTransferConfig", r.KVTransferConfig}} {
		for _, arg := range x.args {
			j.inside(at+"."+x.name, arg)
		}
	}
	j.env(at+".env", r.Env)
}

func (j *judge) engine(name string) {
	c := j.policy.Engines
	if rule, why := (rules{"engines", Keys{Only: c.Only, Deny: c.Deny}, nil, exact}).judge(name); rule != "" {
		j.deny("spec.engine", rule, "%s: %s; %s", name, why, wayOut("engines", name, rule))
	}
}

// model judges where the weights come from. Hubs take names in any case, so denials
// fit any; what alone is allowed is taken as it is written, and without ways around.
func (j *judge) model(name string) {
	c := j.policy.Models
	clean := path.Clean(name)
	for _, p := range c.Deny {
		for _, n := range []string{name, clean} {
			if len(n) >= len(p) && strings.EqualFold(n[:len(p)], p) || strings.EqualFold(n+"/", p) {
				j.deny("spec.model", "models.deny "+p, "%s: the policy denies it; %s", name, wayOut("models", name, "models.deny"))
				return
			}
		}
	}
	if c.Only == nil || clean == strings.TrimSuffix(name, "/") && slices.ContainsFunc(c.Only, func(p string) bool { return strings.HasPrefix(name, p) }) {
		return
	}
	j.deny("spec.model", "models.only", "%s: the policy allows %s alone, written without . and ..", name, someOf(c.Only))
}

func (j *judge) env(at string, env state.Env) {
	for _, name := range env.Names() {
		field, value := at+"."+name, env[name]
		j.variable(field, name)
		switch {
		case value.FromFile != "":
			j.fromFile(field, value.FromFile)
		case value.FromEnv != "":
			j.fromEnv(field, value.FromEnv)
		}
	}
}

func (j *judge) variable(at, name string) {
	r := rules{"env", j.policy.Env, variables, foldVariable}
	if rule, why := r.judge(name); rule != "" {
		j.deny(at, rule, "%s; %s", why, wayOut("env", name, rule))
		return
	}
	flag, of := strings.CutPrefix(foldVariable(name), "DYN_")
	if _, allowed := first(r.keys.Allow, r.fold, name); !of || allowed {
		return
	}
	// Dynamo reads its arguments from variables too: DYN_CUSTOM_ENCODER_CLASS, DYN_TRTLLM_...
	_, short, _ := strings.Cut(flag, "_")
	if rule, why := j.rules().inside(flag, short); rule != "" {
		j.deny(at, rule, "%s; %s", why, wayOut("env", name, rule))
	}
}

// wayOut is what allows a thing that a rule denies.
func wayOut(section, name, rule string) string {
	if strings.HasPrefix(rule, "defaults") {
		return fmt.Sprintf("remove it, or have a policy with %s.allow: [%s]", section, name)
	}
	return "remove it, or have the rule changed"
}

// fromFile judges a file by its path as it is written: it is opened on the nodes. A path
// with .. is none of ours, since it is not resolved before links are.
func (j *judge) fromFile(at, file string) {
	roots, rule := j.policy.FromFile.Roots, "fromFile.roots"
	if roots == nil {
		roots, rule = DefaultRoots, "defaults: fromFile"
	}
	below := func(root string) bool {
		return strings.HasPrefix(path.Clean(file), strings.TrimSuffix(root, "/")+"/")
	}
	if path.IsAbs(file) && !slices.Contains(strings.Split(file, "/"), "..") && slices.ContainsFunc(roots, below) {
		return
	}
	where := "no file is allowed"
	if len(roots) > 0 {
		where = "files lie below " + someOf(roots) + ", written without .."
	}
	j.deny(at, rule, "fromFile %s: %s; move it there, or have a policy with fromFile.roots", file, where)
}

func (j *judge) fromEnv(at, name string) {
	c := j.policy.FromEnv
	if rule, why := (rules{"fromEnv", Keys{Only: c.Only, Deny: c.Deny}, nil, foldVariable}).judge(name); rule != "" {
		j.deny(at, rule, "fromEnv %s: %s; %s", name, why, wayOut("fromEnv", name, rule))
	}
}

func (j *judge) runtimeEnv(at string, env state.Args) {
	r := rules{"runtimeEnv", j.policy.RuntimeEnv.keys(), installers, exact}
	if r.keys.Allow = slices.Concat(r.keys.Allow, runtimeKeys, packageKeys); r.keys.Only != nil {
		r.keys.Only = append(slices.Clone(r.keys.Only), "env_vars") // they are judged one by one
	}
	for _, x := range env {
		field := at + "." + x.Key
		if string(x.Value) == "null" {
			continue
		}
		if rule, why := r.judge(x.Key); rule != "" {
			j.deny(field, rule, "%s; %s", why, wayOut("runtimeEnv", x.Key, rule))
			continue
		}
		switch {
		case x.Key == "working_dir", x.Key == "py_modules":
			j.sources(field, x)
		case slices.Contains(packageKeys, x.Key) && !slices.Contains(j.policy.RuntimeEnv.Allow, x.Key):
			j.packages(field, x)
		}
	}
	for _, x := range state.EnvVars(env) {
		j.variable(at+".env_vars."+x.Key, x.Key)
	}
}

// sources judges from where Ray would load code.
func (j *judge) sources(at string, x state.Arg) {
	var values []string
	if one := ""; json.Unmarshal(x.Value, &one) == nil {
		values = []string{one}
	} else if json.Unmarshal(x.Value, &values) != nil {
		j.deny(at, "defaults: runtimeEnv "+x.Key, "want a path, or a list of paths")
		return
	}
	for _, v := range values {
		if isURL(v) && !slices.ContainsFunc(j.policy.RuntimeEnv.URLs, func(p string) bool { return below(p, v) }) {
			rule := "runtimeEnv.urls"
			if j.policy.RuntimeEnv.URLs == nil {
				rule = "defaults: runtimeEnv " + x.Key + " by URL"
			}
			j.deny(at, rule, "%s is code from elsewhere; put it into the image, or have a policy with runtimeEnv.urls", v)
		}
	}
}

// isURL reports whether Ray would load a text from elsewhere: it begins with a scheme.
func isURL(s string) bool {
	scheme, _, ok := strings.Cut(strings.TrimSpace(s), ":")
	return ok && !strings.ContainsRune(scheme, '/')
}

// below reports whether a URL begins with another, with no way back up.
func below(root, url string) bool {
	folded := strings.ToLower(url)
	return strings.HasPrefix(url, root) && !strings.Contains(url, "..") && !strings.Contains(folded, "%2e") && !strings.ContainsAny(url, "\\ \t")
}

// someOf lists a few of many.
func someOf(list []string) string {
	const shown = 5
	switch n := len(list); {
	case n == 0:
		return "nothing"
	case n > shown:
		return strings.Join(list[:shown], ", ") + fmt.Sprintf(" and %d more", n-shown)
	}
	return strings.Join(list, ", ")
}
