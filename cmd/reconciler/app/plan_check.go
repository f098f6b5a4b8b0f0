package app

import (
	"encoding/json"
	"strings"

	"dynctl/actors"
	"dynctl/actors/plan"
	"dynctl/state"
)

// plan makes a plan. Where that is asked for, one that breaks an invariant of the planner
// is logged with its input, and nothing of it is carried out.
func (l *loop) plan(in actors.Input) actors.Result {
	r := plan.Plan(in)
	if !l.app.cfg.CheckPlans {
		return r
	}
	return l.checkPlan(in, r)
}

func (l *loop) checkPlan(in actors.Input, r actors.Result) actors.Result {
	broken := strings.Join(plan.Check(in, r), "; ")
	if broken != l.broken && broken != "" {
		l.app.log.Error("a plan breaks what must hold of every plan; nothing of it is carried out until it holds again. "+
			"What runs goes on; report this line, or start the reconciler without --check-plans", "broken", broken, "input", inputText(in))
	}
	l.broken = broken
	if broken == "" {
		return r
	}
	return actors.Result{Suspects: in.Suspects, Unclaimed: in.Unclaimed, Whole: in.Whole, Orphans: r.Orphans, Waits: r.Waits, NextCheck: r.NextCheck}
}

// inputText is an input as JSON, without secrets. Its maps are written by the text of their
// keys.
func inputText(in actors.Input) string {
	o := in.Observed
	b, err := json.Marshal(map[string]any{
		"now": in.Now, "policy": in.Policy, "desired": in.Desired, "synced": o.Synced, "agent": o.Agent, "units": o.Units,
		"nodes": o.Nodes, "gone": byText(o.Gone), "lastGone": o.LastGone, "unreadable": o.Unreadable,
		"registered": in.Registered, "frontends": in.Frontends, "suspects": byText(in.Suspects),
	})
	if err != nil {
		return "it cannot be written: " + err.Error()
	}
	return state.HideSecrets(string(b))
}

func byText[V any](m map[state.UnitKey]V) map[string]V {
	out := make(map[string]V, len(m))
	for k, v := range m {
		out[k.String()] = v
	}
	return out
}
