package main

import (
	"fmt"
	"slices"
	"strings"

	"dynctl/cmd/dynctl/internal/prose"
	"dynctl/state"
)

// printedSteps is how many steps are listed for a person; a long roll goes on as
// it began.
const printedSteps = 24

// printWarnings tells what documents say without effect, each with its place.
func (a *app) printWarnings(docs []state.Doc, list []state.Warning) {
	for _, w := range list {
		place := w.Key
		for _, doc := range docs {
			if line, col, _ := state.Locate(doc, w.Path); line > 0 && doc.Key().String() == w.Key {
				place = fmt.Sprintf("%s:%d:%d", doc.File, line, col)
			}
		}
		fmt.Fprintf(a.err, "warning: %s: %s\n", place, w)
	}
}

// printPlan tells a plan in the order in which it happens.
func (a *app) printPlan(info planInfo) {
	specs, steps := a.specRows(info), a.stepRows(info)
	if len(specs.rows)+len(steps.rows) == 0 {
		fmt.Fprintln(a.out, "nothing to do")
		return
	}
	a.printRows(specs)
	if len(specs.rows) > 0 && len(steps.rows) > 0 {
		fmt.Fprintln(a.out)
	}
	a.printRows(steps)
	if more := len(info.Steps) - printedSteps; more > 0 {
		fmt.Fprintf(a.out, "... and %s more: see -o json\n", state.Counted(more, "step"))
	}
	if len(info.Steps) > 1 {
		fmt.Fprintf(a.out, "\n%s\n", a.style.dim(wrap("A step begins when the one before it is done: what it starts is ready, what it stops is gone.", "", a.width())))
	}
	fmt.Fprintf(a.out, "\n%s\n", wrap(summaryOf(info), "", a.width()))
}

// specRows are the specs that change, and the models that roll.
func (a *app) specRows(info planInfo) (t table) {
	for _, s := range info.Specs {
		if s.Change != "unchanged" {
			t.add("set", s.Object, s.Change)
		}
	}
	for _, r := range info.Rolls {
		t.add(a.style.warn("roll"), "model/"+r.Model, a.rollText(r))
	}
	return t
}

// stepRows are the first steps, then what waits and what is nobody's.
func (a *app) stepRows(info planInfo) (t table) {
	for _, s := range info.Steps[:min(len(info.Steps), printedSteps)] {
		number := fmt.Sprint(s.Number)
		for _, x := range s.Actions {
			t.add(number, a.verb(x), target(x), why(x))
			number = ""
		}
	}
	rest := slices.Concat(info.Waits, info.Orphans)
	if len(rest) > 0 && len(t.rows) > 0 {
		t.add("")
	}
	for _, x := range rest {
		t.add("", a.verb(x), target(x), why(x))
	}
	return t
}

func (a *app) printRows(t table) {
	if len(t.rows) == 0 {
		return
	}
	for _, line := range t.lines(a.width()) {
		fmt.Fprintln(a.out, line)
	}
}

// summaryOf counts what a plan does.
func summaryOf(info planInfo) string {
	starts, restarts := 0, 0
	for _, x := range info.Starts {
		if x.Action == actionRestart {
			restarts++
		} else {
			starts++
		}
	}
	text := fmt.Sprintf("%d to start, %d to stop, %d to roll, %d to wait", starts, len(info.Stops), len(info.Rolls), len(info.Waits))
	if restarts > 0 {
		text += fmt.Sprintf(", %d to restart in place", restarts)
	}
	return text
}

// rollText says what is replaced, in which order, and within which budget.
func (a *app) rollText(r planRoll) string {
	text := fmt.Sprintf("%s, %s -> %s", state.Counted(len(r.Units), "unit"), strings.Join(r.From, ", "), r.To)
	unavailable := "unset"
	if r.MaxUnavailable != nil {
		unavailable = fmt.Sprint(*r.MaxUnavailable)
	}
	how := map[string]string{
		orderSurge:    a.style.good("surge") + ": a new one starts before an old one stops",
		orderMakeRoom: a.style.bad("make room") + ": an old one stops before a new one starts",
		orderStalled:  a.style.bad("stalled") + ": nothing can be replaced now",
	}[r.Order]
	text += fmt.Sprintf("\n%s (maxSurge %d, maxUnavailable %s)", how, r.MaxSurge, unavailable)
	switch n := len(r.Steps); {
	case n == 1:
		text += fmt.Sprintf("\nin step %d", r.Steps[0])
	case n > 1:
		text += fmt.Sprintf("\nin steps %d to %d", r.Steps[0], r.Steps[n-1])
	}
	return text
}

// verb is the action in its colour.
func (a *app) verb(x planAction) string {
	switch x.Action {
	case actionStart:
		return a.style.good(x.Action)
	case actionStop, actionSweep:
		return a.style.bad(x.Action)
	case actionOrphan:
		return a.style.dim(x.Action)
	}
	return a.style.warn(x.Action)
}

// target is the unit, or the model or server where that is what waits.
func target(x planAction) string {
	switch {
	case x.Unit != "":
		return x.Server + "/" + x.Unit
	case x.Model != "":
		return "model/" + x.Model
	}
	return "server/" + x.Server
}

func why(x planAction) string {
	if x.Message == "" {
		return x.Reason
	}
	return x.Reason + ": " + prose.FirstLine(x.Message)
}
