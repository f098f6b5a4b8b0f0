package app

import (
	"flag"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

var update = flag.Bool("update", false, "rewrite the generated tables of the documentation")

const monitoringPage = "../../../docs/monitoring.md"

// ourMetrics are the rows of the table of metrics, by name.
func ourMetrics(t *testing.T) map[string]string {
	t.Helper()
	m := newMetrics()
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]string{}
	for _, f := range families {
		kinds[f.GetName()] = strings.ToLower(f.GetType().String())
	}
	m.registry.MustRegister(&gauges{})
	descs := make(chan *prometheus.Desc)
	go func() { m.registry.Describe(descs); close(descs) }()
	parts := regexp.MustCompile(`fqName: "(dynctl_[^"]+)", help: "([^"]*)".*variableLabels: {([^}]*)}`)
	rows := map[string]string{}
	for d := range descs {
		p := parts.FindStringSubmatch(d.String())
		if p == nil {
			continue // of Go and of the process
		}
		kind, labels := kinds[p[1]], "-"
		switch {
		case kind != "":
		case strings.HasSuffix(p[1], "_total"):
			kind = "counter"
		default:
			kind = "gauge"
		}
		if p[3] != "" {
			labels = "`" + strings.ReplaceAll(p[3], ",", "`, `") + "`"
		}
		rows[p[1]] = tableRow(p[1], kind, labels, p[2])
	}
	if len(rows) < 15 {
		t.Fatalf("only %d metrics of ours: %v", len(rows), rows)
	}
	return rows
}

// tableRow is a row of a table whose first cell is a name.
func tableRow(name string, cells ...string) string {
	return "| `" + name + "` | " + strings.Join(cells, " | ") + " |\n"
}

// generated replaces what stands between the marks of a part of the page.
func generated(t *testing.T, page, title, content string) string {
	t.Helper()
	begin, end := "<!-- "+title+": generated -->\n", "<!-- end -->"
	head, rest, ok := strings.Cut(page, begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("no part %q between %q and %q", title, strings.TrimSpace(begin), end)
	}
	return head + begin + content + end + tail
}

// The tables of metrics and alerts are what the program and the rules say.
func TestTheDocumentationNamesEveryMetricAndAlert(t *testing.T) {
	text, err := os.ReadFile(monitoringPage)
	if err != nil {
		t.Fatal(err)
	}
	rows := ourMetrics(t)
	table := "| metric | kind | labels | meaning |\n|---|---|---|---|\n"
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		table += rows[name]
	}
	want := generated(t, string(text), "metrics", table)
	var file alertFile
	readYAML(t, "alerts.yaml", &file)
	table = "| alert | severity | after | says |\n|---|---|---|---|\n"
	label := regexp.MustCompile(`{{ \$labels\.([a-z]+) }}`)
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			says := label.ReplaceAllStringFunc(r.Annotations["summary"], func(s string) string { return strings.ToUpper(label.FindStringSubmatch(s)[1]) })
			after := r.For
			if after == "" {
				after = "at once"
			}
			table += tableRow(r.Alert, r.Labels["severity"], after, says)
		}
	}
	want = generated(t, want, "alerts", table)
	if want == string(text) {
		return
	}
	if !*update {
		t.Fatalf("%s is not what the program says: go test ./cmd/reconciler/app -update", monitoringPage)
	}
	if err := os.WriteFile(monitoringPage, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}
