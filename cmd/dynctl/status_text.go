package main

import (
	"fmt"
	"strings"

	"dynctl/cmd/dynctl/internal/prose"
	"dynctl/cmd/internal/verdict"
	"dynctl/state"
)

// lines is the screen that status prints, at most width columns wide except
// where a single word is wider.
func (v *overview) lines(p palette, width int) []string {
	var lines []string
	if v.disk != "" {
		lines = append(fold(p.bad(v.disk), width), "")
	}
	if v.noLeader != "" {
		lines = append(append(lines, fold(p.bad(v.noLeader), width)...), "")
	}
	if v.failure != "" {
		paint := p.bad
		if v.between {
			paint = p.warn
		}
		lines = append(append(lines, fold(paint(v.failure), width)...), "")
	}
	if v.ray != "" {
		lines = append(append(lines, fold(p.warn(v.ray), width)...), "")
	}
	if len(v.servers) == 0 && len(v.models) == 0 {
		return append(lines, "Nothing is declared yet: dynctl set FILE", "", wrap(v.footer(p), "", width))
	}
	for _, server := range v.serverNames() {
		lines = append(lines, v.serverLines(server, p, width)...)
		lines = append(lines, v.modelLines(server, p, width)...)
		lines = append(lines, "")
	}
	return append(lines, fold(v.footer(p), width)...)
}

func (v *overview) serverLines(server string, p palette, width int) []string {
	var status *state.Status
	for _, o := range v.servers {
		if o.Server == server {
			status = o.Status
		}
	}
	head := "server " + p.bold(server)
	if status == nil {
		return fold(head, width)
	}
	if status.Endpoint != "" {
		head += "  " + status.Endpoint
	}
	look := judge(status, v.now)
	lines := fold(head+"  "+p.coloured(look.Verdict), width)
	if status.Router != nil {
		text := "router: " + routing(status.Router)
		if status.Router.Because != "" {
			text += " (" + strings.TrimSuffix(status.Router.Because, ".") + ")"
		}
		lines = append(lines, p.dim(wrap(text, "  ", width)))
	}
	return append(lines, v.reasonLines(status, look, p, width)...)
}

func (v *overview) modelLines(server string, p palette, width int) []string {
	var t table
	var reasons [][]string
	for _, o := range v.models {
		if o.Server != server {
			continue
		}
		if o.Status == nil {
			t.add("  "+o.Name, p.dim(verdict.Unknown), "-", "-")
			reasons = append(reasons, []string{"      the reconciler has not seen it yet"})
			continue
		}
		look := judge(o.Status, v.now)
		t.add("  "+o.Name, p.coloured(look.Verdict), workers(o.Status.Roles), prose.Age(v.now, look.Since))
		lines := v.reasonLines(o.Status, look, p, width)
		if v.details {
			lines = append(lines, v.detailLines(o, p, width)...)
		}
		reasons = append(reasons, lines)
	}
	var lines []string
	for i, row := range t.rowLines(width) {
		lines = append(append(lines, row...), reasons[i]...)
	}
	return lines
}

// fromExits reports whether what stands in the way may come from processes that ended: no
// exit explains that there is no room, or that nothing is known.
func fromExits(v verdict.Verdict) bool {
	if v.Word == verdict.Suspended || v.Blocking == nil || v.Word == verdict.Serving {
		return false
	}
	switch v.Blocking.Type {
	case state.CondAccepted, state.CondScheduled, state.CondRouterReady:
		return !v.Until.IsZero() // one waits for its next attempt all the same
	}
	return v.Blocking.Status == state.StatusFalse
}

// meanwhileLines say what is known where not all is.
func meanwhileLines(look outlook, indent string, width int) []string {
	if known := look.Meanwhile(); known != "" {
		return []string{wrap("meanwhile: "+known, indent, width)}
	}
	return nil
}

// reasonLines say why, and what comes next; nothing for what is as it should be.
func (v *overview) reasonLines(s *state.Status, look outlook, p palette, width int) []string {
	const indent = "      "
	var lines []string
	if c := look.Blocking; c != nil {
		text := c.Reason
		if c.Message != "" {
			text = strings.TrimPrefix(text+": "+prose.FirstLine(c.Message), ": ")
		}
		if rest, ok := strings.CutPrefix(text, v.failure); ok && v.failure != "" { // which heads the screen
			text, look.next = c.Reason+", as above"+rest, ""
		}
		if since := prose.Age(v.now, c.LastTransitionTime); since != "-" {
			text += " (for " + since + ")"
		}
		lines = append(lines, wrap("why: "+text, indent, width))
	}
	lines = append(lines, meanwhileLines(look, indent, width)...)
	for _, role := range roleNames(s.Roles) {
		if e := s.Roles[role].LastExit; e != nil && fromExits(look.Verdict) {
			text := fmt.Sprintf("last exit: %s, code %d, %s, %s ago, %s", e.Unit, e.Code, e.Reason, prose.Age(v.now, e.At), state.Counted(s.Roles[role].Restarts, "restart"))
			lines = append(lines, wrap(text, indent, width))
			switch tail := prose.LastLine(e.LogTail); {
			case e.Cause != "":
				lines = append(lines, wrap("cause: "+e.Cause, indent, width))
			case tail != "" && !v.details:
				lines = append(lines, p.dim(wrap("log: "+tail, indent, width)))
			}
			if e.Hint != "" {
				lines = append(lines, wrap("hint: "+e.Hint, indent, width))
			}
		}
	}
	for _, warning := range verdict.Warnings(s) {
		lines = append(lines, p.warn(wrap("warning: "+warning, indent, width)))
	}
	if look.next != "" {
		lines = append(lines, wrap("next: "+look.next, indent, width))
	}
	return lines
}

// detailLines are the conditions, the units and the log of the last exit of one
// model.
func (v *overview) detailLines(o objectInfo, p palette, width int) []string {
	const indent = "    "
	s := o.Status
	lines := []string{"", fmt.Sprintf("%srevision %s, generation %s", indent, revisions(o), prose.OrDash(s.Generation))}
	if s.Router != nil {
		lines = append(lines, wrap("router: "+routing(s.Router)+" ("+strings.TrimSuffix(s.Router.Because, ".")+")", indent, width))
	}
	var t table
	t.add(indent+"CONDITION", "STATUS", "SINCE", "REASON")
	for _, c := range s.Conditions {
		text := c.Reason
		if c.Message != "" && c.Status != state.StatusTrue {
			text = strings.TrimPrefix(text+": "+prose.FirstLine(c.Message), ": ")
		}
		t.add(indent+c.Type, c.Status, prose.Age(v.now, c.LastTransitionTime), text)
	}
	lines = append(lines, t.lines(width)...)
	if len(s.Placements) > 0 {
		var units table
		units.spare = []int{3} // it is in the unit's id
		units.add(indent+"UNIT", "STATE", "NODE", "GENERATION")
		for _, u := range s.Placements {
			units.add(indent+u.Unit, u.State, prose.OrDash(prose.ShortID(u.Node)), prose.OrDash(u.Generation))
		}
		lines = append(append(lines, ""), units.lines(width)...)
	}
	for _, role := range roleNames(s.Roles) {
		if e := s.Roles[role].LastExit; e != nil && e.LogTail != "" {
			lines = append(lines, "", wrap("log of "+e.Unit+" at its last exit:", indent, width))
			for _, line := range strings.Split(strings.TrimRight(e.LogTail, "\n"), "\n") {
				lines = append(lines, p.dim(wrap(line, indent+"| ", width)))
			}
		}
	}
	return lines
}
