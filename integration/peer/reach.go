package main

import (
	"fmt"
	"slices"
	"strings"
)

// figure is one of the record: of which part, what was measured, by whom or beside how many.
type figure struct{ part, what, who string }

func (r record) of(f figure) []float64 { return r.Parts[f.part].Figures[f.what][f.who] }

// goal is a row of the table of goals.
type goal struct {
	says string
	figure
	unit unit
	// floor is what nothing that does the same can be quicker than, in the same run; its what
	// is empty where there is none. peer is another program's way to the same.
	floor, peer figure
	// most is the goal: of the figure itself, or of its ratios to floor and peer; 0: none.
	most, mostOfFloor, mostOfPeer float64
	// wanted is the goal in words, where those would not say it.
	wanted string
	// why says, where it is not reached, what stands in the way.
	why func(record) string
	// judge stands for the verdict, where to compare does not tell.
	judge func(record) string
}

// unit is how a figure is written; times are in ms in the record unless it says s.
type unit struct {
	per    float64 // of the record's in one of these
	format string
}

var (
	inMs      = unit{1, "%.1f ms"}
	inFineMs  = unit{1, "%.2f ms"}
	inSeconds = unit{1000, "%.2f s"}
	asSeconds = unit{1, "%.2f s"}
	inPercent = unit{1, "%.2f %%"}
	inMB      = unit{1, "%.0f MB"}
	counted   = unit{1, "%.0f"}
)

func (u unit) write(value float64) string { return fmt.Sprintf(u.format, value/u.per) }

// spread is the median of figures with the least and the most of them.
func (u unit) spread(of []float64) string {
	switch len(of) {
	case 0:
		return ""
	case 1:
		return u.write(of[0])
	}
	number, _, _ := strings.Cut(u.format, " ")
	bare := unit{u.per, number}
	return fmt.Sprintf("%s (%s to %s)", u.write(median(of)), bare.write(least(of)), bare.write(most(of)))
}

func fleetOf(what, models string) figure { return figure{partFleet, what, models} }
func rayOf(what, who string) figure      { return figure{partRay, what, who} }

// reach is the table of all goals with what was measured last of each.
func (r record) reach() string {
	var out strings.Builder
	out.WriteString("\n| what | measured: median (least to most) | runs | floor, in the same run | ratio | goal | reached |\n|---|---|---|---|---|---|---|\n")
	for _, g := range r.goals() {
		of := r.of(g.figure)
		if len(of) == 0 {
			fmt.Fprintf(&out, "| %s | not measured yet | | | | %s | |\n", g.says, g.wants())
			continue
		}
		floor, ratios := g.beside(r)
		fmt.Fprintf(&out, "| %s | %s | %d | %s | %s | %s | %s |\n", g.says, g.unit.spread(of), len(of), floor, ratios, g.wants(), g.verdict(r))
	}
	out.WriteString("\n")
	for _, p := range parts {
		if m, has := r.Parts[p.name]; has {
			fmt.Fprintf(&out, "- %s: %s\n", partSays[p.name], m.where())
		}
	}
	return out.String()
}

var partSays = map[string]string{
	partRay:   "Starts, rolls and the end of the agent, on a real Ray",
	partKill:  "The end of a worker, and of an agent beside a standby, on a real Ray",
	partLoad:  "Requests of many clients (below), on a real Ray",
	partAgent: "The agent at rest, on a real Ray",
	partFleet: "Everything else, on a simulated Ray",
}

// beside is what stands in the columns of floor and ratio.
func (g goal) beside(r record) (floor, ratios string) {
	var floors, all []string
	for _, x := range []struct {
		of   figure
		says string
	}{{g.floor, ""}, {g.peer, " (peer)"}} {
		if of := r.of(x.of); len(of) > 0 {
			floors = append(floors, g.unit.write(median(of))+x.says)
			all = append(all, fmt.Sprintf("%.2f%s", median(r.of(g.figure))/median(of), x.says))
		}
	}
	return strings.Join(floors, ", "), strings.Join(all, ", ")
}

// wants is the goal in words.
func (g goal) wants() string {
	if g.wanted != "" {
		return g.wanted
	}
	var all []string
	if g.most > 0 {
		all = append(all, g.unit.write(g.most))
	}
	if g.mostOfFloor > 0 {
		all = append(all, fmt.Sprintf("%.2f of the floor", g.mostOfFloor))
	}
	if g.mostOfPeer > 0 {
		all = append(all, fmt.Sprintf("%.2f of the peer", g.mostOfPeer))
	}
	return strings.Join(all, ", ")
}

// verdict is whether the median reaches the goal, and if not, what stands in the way.
func (g goal) verdict(r record) string {
	if g.judge != nil {
		return g.judge(r)
	}
	value := median(r.of(g.figure))
	missed := g.most > 0 && value > g.most
	for _, x := range []struct {
		of   figure
		most float64
	}{{g.floor, g.mostOfFloor}, {g.peer, g.mostOfPeer}} {
		if x.most == 0 {
			continue
		}
		of := r.of(x.of)
		if len(of) == 0 {
			return "not known: nothing was measured beside it"
		}
		missed = missed || value > x.most*median(of)
	}
	switch {
	case g.wants() == "":
		return ""
	case !missed:
		return "yes"
	case g.why == nil:
		return "no"
	}
	return "no: " + g.why(r)
}

// least and most of figures; 0 of none.
func least(of []float64) float64 {
	if len(of) == 0 {
		return 0
	}
	return slices.Min(of)
}

func most(of []float64) float64 {
	if len(of) == 0 {
		return 0
	}
	return slices.Max(of)
}
