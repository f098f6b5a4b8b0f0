package app

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"dynctl/actors"
	"dynctl/actors/plan"
	"dynctl/state"
)

// brokenPlanFile, below the data directory, holds the input of the last plan that was held
// back. What specs hold stands in it in plain, as it does in the store beside it.
const brokenPlanFile = "broken-plan.json"

// plan makes a plan. Where that is asked for, one that breaks an invariant of the planner
// is told with its input, and nothing of it is carried out.
func (l *loop) plan(in actors.Input) actors.Result {
	r := l.oracle.plan(in)
	if !l.app.cfg.CheckPlans {
		return r
	}
	return l.checkPlan(in, r)
}

func (l *loop) checkPlan(in actors.Input, r actors.Result) actors.Result {
	broken := plan.Check(in, r)
	if len(broken) == 0 {
		l.broken = nil
		l.app.planHeld.Store(nil)
		return r
	}
	text := strings.Join(broken, "; ")
	l.app.planHeld.Store(&text)
	if names := invariantsOf(broken); !slices.Equal(names, l.broken) {
		l.broken = names
		path := filepath.Join(l.app.cfg.DataDir, brokenPlanFile)
		l.app.log.Error("a plan breaks what must hold of every plan; nothing of it is carried out until it holds again. "+
			"What runs goes on; report this line and the file, or start the reconciler without --check-plans",
			"broken", text, "input", path, "error", os.WriteFile(path, inputText(in), 0o600))
	}
	return actors.Result{Statuses: r.Statuses, Suspects: in.Suspects, Unclaimed: in.Unclaimed, Whole: in.Whole, Orphans: r.Orphans,
		Waits: r.Waits, NextCheck: r.NextCheck}
}

// invariantsOf are the names of what is broken, without the numbers, which change.
func invariantsOf(broken []string) (names []string) {
	for _, b := range broken {
		name, _, _ := strings.Cut(b, ":")
		names = append(names, name)
	}
	return slices.Compact(names)
}

// checkPlans reports the plan that is held back.
func checkPlans(a *App, _ *snapshot) check {
	if held := a.planHeld.Load(); held != nil {
		return check{State: checkFailed, Text: "nothing is started or stopped, because the plan breaks what must hold of every plan: " + *held +
			"; report it with " + filepath.Join(a.cfg.DataDir, brokenPlanFile) + ", or start the reconciler without --check-plans"}
	}
	return check{State: checkOK}
}

// inputText is an input as JSON. Its maps are written by the text of their keys.
func inputText(in actors.Input) []byte {
	o := in.Observed
	b, err := json.Marshal(map[string]any{
		"now": in.Now, "policy": in.Policy, "desired": in.Desired, "synced": o.Synced, "agent": o.Agent, "units": o.Units,
		"nodes": o.Nodes, "gone": byText(o.Gone), "lastGone": o.LastGone, "unreadable": o.Unreadable,
		"registered": in.Registered, "frontends": in.Frontends, "suspects": byText(in.Suspects),
		"agentFailure": in.AgentFailure, "storeFull": in.StoreFull,
	})
	if err != nil {
		return []byte("it cannot be written: " + err.Error())
	}
	return b
}

func byText[V any](m map[state.UnitKey]V) map[string]V {
	out := make(map[string]V, len(m))
	for k, v := range m {
		out[k.String()] = v
	}
	return out
}
