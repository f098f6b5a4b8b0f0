package accept_test

import (
	"cmp"
	"fmt"
	"strings"
	"testing"

	"dynctl/actors"
	"dynctl/actors/accept"
	"dynctl/state"
	"dynctl/state/policy"
)

// judging takes revisions under a policy, with a status of what was accepted before.
type judging struct {
	t        *testing.T
	policy   *policy.Policy
	memo     accept.Memo
	entries  []*accept.Entry
	statuses map[state.Key]state.Status
}

func (j *judging) use(text string) {
	j.t.Helper()
	p, err := policy.Parse("policy.yaml", []byte("apiVersion: dynctl/v1alpha1\nkind: Policy\n"+text))
	if err != nil {
		j.t.Fatal(err)
	}
	j.policy = p
}

// put writes a revision of an object.
func (j *judging) put(key state.Key, spec string) {
	j.t.Helper()
	doc, err := state.DecodeValue(key, fmt.Appendf(nil, "apiVersion: dynctl/v1alpha1\nkind: %s\nmetadata: {name: %s}\nspec: %s\n", key.Kind, cmp.Or(key.Name, key.Server), spec))
	if err != nil {
		j.t.Fatal(err)
	}
	e := &accept.Entry{Key: key, Revision: 1, Doc: doc}
	for i, old := range j.entries {
		e.Revision = max(e.Revision, old.Revision+1)
		if old.Key == key {
			j.entries = append(j.entries[:i:i], j.entries[i+1:]...)
		}
	}
	j.entries = append(j.entries, e)
}

// round accepts what may run, and stores that.
func (j *judging) round() actors.Desired {
	d, kept := accept.Revisions(accept.Input{Synced: true, Entries: j.entries, Statuses: j.statuses, Policy: j.policy, Memo: &j.memo})
	if j.statuses == nil {
		j.statuses = map[state.Key]state.Status{}
	}
	note := func(key state.Key, accepted, revision uint64) {
		if k, ok := kept[key]; ok {
			j.statuses[key] = state.Status{Key: key.String(), ObservedRevision: revision, AcceptedRevision: accepted, AcceptedSpec: k.Spec, Template: k.Template}
		}
	}
	for _, s := range d.Servers {
		note(state.ServerKey(s.Name), s.Accepted, s.Revision)
	}
	for _, m := range d.Models {
		note(state.ModelKey(m.Server, m.Name), m.Accepted, m.Revision)
	}
	return d
}

func warned(list []state.Warning) string {
	var lines []string
	for _, w := range list {
		lines = append(lines, w.String())
	}
	return strings.Join(lines, "\n")
}

// expect makes a round: the model runs the revision of ran, with the generation that had,
// and what is told of it (its rejection and its warnings) holds each text.
func (j *judging) expect(step string, ran *actors.DesiredModel, told ...string) {
	j.t.Helper()
	m := j.round().Models[0]
	if m.Accepted != ran.Accepted || m.Template.Generation != ran.Template.Generation {
		j.t.Errorf("%s: revision %d runs as %s, want %d as %s", step, m.Accepted, m.Template.Generation, ran.Accepted, ran.Template.Generation)
	}
	text := warned(m.Warnings)
	if m.Rejected != nil {
		text += m.Rejected.Reason + ": " + m.Rejected.Message
	}
	for _, want := range told {
		if !strings.Contains(text, want) {
			j.t.Errorf("%s: %q is not in: %s", step, want, text)
		}
	}
	if len(told) == 0 && strings.Contains(text, "policy") {
		j.t.Errorf("%s: %s", step, text)
	}
}

// A denied revision leaves the one before it running, and is judged again by the next
// policy; what runs under a policy that denies it by now goes on, and says so.
func TestAPolicyJudgesRevisionsAndStopsNothing(t *testing.T) {
	const goesOn = "spec.env.PYTHONPATH: it was accepted before the policy denied it, and goes on"
	key := state.ModelKey("default", "m")
	j := &judging{t: t}
	j.use("")
	j.put(key, "{model: a}")
	first := j.round().Models[0]
	if first.Rejected != nil || first.Accepted == 0 {
		t.Fatalf("%+v", first.Rejected)
	}

	j.put(key, "{model: a, env: {PYTHONPATH: /x}}")
	for range 2 {
		j.expect("denied", first, state.ReasonPolicyDenied, "spec.env.PYTHONPATH", "defaults: env PYTHONPATH", "env.allow: [PYTHONPATH]")
	}
	j.use("env: {allow: [PYTHONPATH]}\n")
	second := j.round().Models[0]
	if second.Rejected != nil || second.Accepted == first.Accepted {
		t.Fatalf("under a policy that allows it: %+v", second.Rejected)
	}
	j.expect("under a policy that allows it", second)
	j.use("")
	for range 2 { // the second time it is remembered
		j.expect("under a policy that denies it again", second, goesOn)
	}
	j.put(key, "{model: a, replicas: 2, env: {PYTHONPATH: /x}}")
	j.expect("another revision with it", second, state.ReasonPolicyDenied)
	j.put(key, "{model: a, replicas: 2}")
	third := j.round().Models[0]
	if third.Accepted == second.Accepted {
		t.Errorf("without it: %+v", third.Rejected)
	}
	j.expect("without it", third)
}

func TestAPolicyJudgesServers(t *testing.T) {
	key := state.ServerKey("s")
	j := &judging{t: t}
	j.use("")
	j.put(key, "{}")
	if s := j.round().Servers[0]; s.Rejected != nil {
		t.Fatalf("%+v", s.Rejected)
	}
	j.put(key, "{env: {LD_PRELOAD: x}}")
	s := j.round().Servers[0]
	if s.Rejected == nil || s.Rejected.Reason != state.ReasonPolicyDenied || s.Accepted != 1 || len(s.Spec.Env) != 0 {
		t.Errorf("accepted %d, %+v", s.Accepted, s.Rejected)
	}
	j.use("env: {allow: [LD_PRELOAD]}\n")
	j.round()
	j.use("")
	if s := j.round().Servers[0]; s.Accepted != 2 || !strings.Contains(warned(s.Warnings), "spec.env.LD_PRELOAD: it was accepted before") {
		t.Errorf("accepted %d, warned of %s", s.Accepted, warned(s.Warnings))
	}
}

// Models take GPUs of their server's limit by age; who asks for no more than before is
// never refused.
func TestAPolicyLimitsServers(t *testing.T) {
	j := &judging{t: t}
	j.use("limits: {gpus: 4, models: 3}\n")
	at := func(name string) state.Key { return state.ModelKey("default", name) }
	j.put(at("a"), "{model: x/a, replicas: 3}")
	j.put(at("b"), "{model: x/b, replicas: 2}")
	j.put(at("c"), "{model: x/c, replicas: 1}")
	verdict := func() string {
		var out []string
		j.round() // a newer revision of an older model gives room to the next round
		for _, m := range j.round().Models {
			text := "runs"
			if m.Accepted == 0 {
				text = "not"
			}
			if m.Rejected != nil {
				_, rule, _ := strings.Cut(m.Rejected.Message, "(rule: ")
				text += ", " + rule
			}
			out = append(out, m.Name+" "+text)
		}
		return strings.Join(out, "; ")
	}
	expect := func(step, want string) {
		t.Helper()
		if got := verdict(); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", step, got, want)
		}
	}
	expect("3 + 2 + 1 GPUs", "a runs; b not, limits.gpus 4) (PolicyDenied); c runs")
	j.put(at("a"), "{model: x/a, replicas: 1}")
	expect("a gives two back", "a runs; b runs; c runs")
	j.put(at("d"), "{model: x/d, suspend: true}")
	expect("a fourth model", "a runs; b runs; c runs; d not, limits.models 3) (PolicyDenied)")
	j.use("limits: {gpus: 2, models: 3}\n")
	j.put(at("b"), "{model: x/b, replicas: 1}")
	expect("past the limit, and asking for less", "a runs; b runs; c runs; d not, limits.models 3) (PolicyDenied)")
	j.put(at("c"), "{model: x/c, replicas: 2}")
	expect("past the limit, and asking for more", "a runs; b runs; c runs, limits.gpus 2) (PolicyDenied); d not, limits.models 3) (PolicyDenied)")
	if w := warned(j.round().Servers[0].Warnings); !strings.Contains(w, "its models take 3 GPUs, and no more than 2 may be taken (rule: limits.gpus 2)") {
		t.Errorf("warned of: %s", w)
	}
}

// Where a status is lost, what runs says what was accepted; where nothing that could be
// accepted renders to it, a denied revision does not stand for it.
func TestADeniedRevisionDoesNotStandForWhatRuns(t *testing.T) {
	key := state.ModelKey("default", "m")
	j := &judging{t: t}
	j.use("")
	j.put(key, "{model: a, env: {LD_PRELOAD: x}}")
	in := accept.Input{Synced: true, Observed: true, Recover: true, Entries: j.entries, Policy: j.policy, Past: map[state.Key][]accept.Entry{key: nil},
		Units: []*state.Unit{{Server: "default", Unit: "0badc0de_a_DP0", Model: "m", Generation: "0badc0de"}}}
	d, _ := accept.Revisions(in)
	if m := d.Models[0]; m.Accepted != 0 || m.Rejected == nil {
		t.Errorf("it stands for what runs: %d %+v", m.Accepted, m.Rejected)
	}
	in.Policy = nil
	if d, _ := accept.Revisions(in); d.Models[0].Accepted == 0 {
		t.Error("without a policy it does not either")
	}
}
