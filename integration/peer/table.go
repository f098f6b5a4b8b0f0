package main

import (
	"fmt"
	"os"
	"strings"
)

// place is where a page has a table, between two lines.
type place struct{ begins, ends string }

func placeOf(what string) place {
	return place{"<!-- " + what + ": written by make bench and make bench-peer. -->\n", "<!-- To here. -->\n"}
}

// tables are what docs/benchmarks.md shows, by their place.
func (r record) tables() map[place]string {
	return map[place]string{placeOf("What is reached"): r.reach(), placeOf("Floor and peer"): r.table(), placeOf("By nats and by tcp"): r.byPlane()}
}

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

// table is of starts beside floor and peer.
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
			inSeconds.spread(f["floor"]), inSeconds.spread(f["ours"]), inSeconds.spread(f["peer"]), ratio(f["ours"], f["floor"]), ratio(f["ours"], f["peer"]))
	}
	return out.String()
}

func (m measured) where() string {
	with := []string{m.Machine}
	for _, x := range []struct{ says, name string }{{"Ray ", "ray"}, {"Dynamo ", "ai-dynamo"}, {"nemo-curator ", "nemo-curator"}, {"Python ", "python"}, {"", "go"}} {
		if version := m.Versions[x.name]; version != "" {
			with = append(with, x.says+version)
		}
	}
	if m.Commit != "" {
		with = append(with, "commit "+m.Commit)
	}
	return fmt.Sprintf("%s; %s; load %.1f to %.1f.", strings.Join(with, ", "), m.At, least(m.Loads), most(m.Loads))
}

// ratio is that of the medians.
func ratio(of, to []float64) string {
	if len(of) == 0 || median(to) == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", median(of)/median(to))
}

// intoPage writes the tables where the page has them.
func (r record) intoPage(path string) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text := string(page)
	for at, table := range r.tables() {
		before, rest, begins := strings.Cut(text, at.begins)
		_, after, ends := strings.Cut(rest, at.ends)
		if !begins || !ends {
			return fmt.Errorf("%s: no lines %q and %q: put them where the table is to be", path, at.begins, at.ends)
		}
		text = before + at.begins + table + "\n" + at.ends + after
	}
	return os.WriteFile(path, []byte(text), 0o644)
}
