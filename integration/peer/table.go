package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// The table's place in docs/benchmarks.md.
const tableBegins, tableEnds = "<!-- Written by make bench-peer. -->\n", "<!-- To here. -->\n"

// row is a line of the table: what was measured, and by what name in the record.
type row struct{ figure, says string }

var rows = []row{
	{"start-1", "from nothing to the first token: 1 model"},
	{"start-4", "the same, 4 models"},
	{"start-1P1D", "the same, 1 prefill + 1 decode"},
	{"put", "one more model on a running server, to its first token"},
	{"stop", "all of 2 models ended"},
	{"roll", "roll of 2 replicas, no request failed"},
	{"agent", "agent killed: successor at work"},
	{"actor-new", "Ray: an actor in a new worker process"},
	{"actor-idle", "Ray: an actor in an idle worker process"},
}

// table is what docs/benchmarks.md shows.
func (r record) table() string {
	var out strings.Builder
	p, has := r.Parts[partRay]
	if !has {
		return ""
	}
	out.WriteString("\n" + p.where() + " Medians, and the least to the most.\n\n" +
		"| | runs | floor | ours | peer | ours to floor | ours to peer |\n|---|---|---|---|---|---|---|\n")
	for _, row := range rows {
		f := p.Figures[row.figure]
		if len(f) == 0 {
			continue // not measured yet
		}
		fmt.Fprintf(&out, "| %s | %d | %s | %s | %s | %s | %s |\n", row.says, max(len(f["ours"]), len(f["floor"])),
			spread(f["floor"]), spread(f["ours"]), spread(f["peer"]), ratio(f["ours"], f["floor"]), ratio(f["ours"], f["peer"]))
	}
	return out.String()
}

func (m measured) where() string {
	return fmt.Sprintf("%s, Ray %s, Dynamo %s, nemo-curator %s, Python %s, %s; %s; load %.0f to %.0f.", m.Machine, m.Versions["ray"],
		m.Versions["ai-dynamo"], m.Versions["nemo-curator"], m.Versions["python"], m.Versions["go"], m.At, least(m.Loads), most(m.Loads))
}

// spread is the median of figures with the least and the most of them.
func spread(ms []float64) string {
	if len(ms) == 0 {
		return ""
	}
	if len(ms) == 1 {
		return fmt.Sprintf("%.2f s", ms[0]/1000)
	}
	return fmt.Sprintf("%.2f s (%.2f to %.2f)", median(ms)/1000, least(ms)/1000, most(ms)/1000)
}

// ratio is that of the medians.
func ratio(of, to []float64) string {
	if len(of) == 0 || median(to) == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", median(of)/median(to))
}

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

// intoPage writes the table where the page has it.
func (r record) intoPage(path string) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, begins := strings.Cut(string(page), tableBegins)
	_, after, ends := strings.Cut(rest, tableEnds)
	if !begins || !ends {
		return fmt.Errorf("%s: no lines %q and %q: put them where the table is to be", path, tableBegins, tableEnds)
	}
	return os.WriteFile(path, []byte(before+tableBegins+r.table()+"\n"+tableEnds+after), 0o644)
}
