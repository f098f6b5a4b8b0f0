package docs_test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The chart's rules are those of deploy/monitoring: helm reads no file outside of a chart.
func TestTheChartHasTheAlerts(t *testing.T) {
	if read(t, "deploy/helm/dynctl/files/alerts.yaml") != read(t, "deploy/monitoring/alerts.yaml") {
		t.Error("deploy/helm/dynctl/files/alerts.yaml is another than deploy/monitoring/alerts.yaml: copy it")
	}
}

// Every flag that the chart, its values or its examples pass is one of the reconciler's.
func TestFlagsOfTheChart(t *testing.T) {
	known := map[string]bool{}
	for _, m := range regexp.MustCompile(`fs\.\w+\((?:[^"]*)"([a-z-]+)"`).FindAllStringSubmatch(read(t, "cmd/reconciler/app/config.go")+read(t, "cmd/reconciler/app/config_limits.go"), -1) {
		known[m[1]] = true
	}
	files := []string{"deploy/helm/dynctl/templates/deployment.yaml", "deploy/helm/dynctl/values.yaml"}
	examples, err := filepath.Glob(filepath.Join(root, "deploy/helm/examples/*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range examples {
		files = append(files, "deploy/helm/examples/"+filepath.Base(f))
	}
	found := 0
	comment := regexp.MustCompile(`(?m)^ *#.*$`)
	for _, f := range files {
		for _, m := range regexp.MustCompile(`(?:^|[\s\["])--([a-z-]+)`).FindAllStringSubmatch(comment.ReplaceAllString(read(t, f), ""), -1) {
			found++
			if !known[m[1]] {
				t.Errorf("%s: the reconciler has no flag --%s", f, m[1])
			}
		}
	}
	if found < 12 {
		t.Errorf("%d flags found", found)
	}
}

// What the Dockerfile copies and builds is there.
func TestTheImage(t *testing.T) {
	page := read(t, "deploy/image/Dockerfile")
	for _, m := range regexp.MustCompile(`(?m)^COPY ([^-.\n][^\n]*) \S+$`).FindAllStringSubmatch(page, -1) {
		for name := range strings.FieldsSeq(m[1]) {
			read(t, name)
		}
	}
	for _, want := range []string{"./cmd/reconciler", "./cmd/dynctl", "dynctl/cmd/internal/version.Value"} {
		if !strings.Contains(page, want) {
			t.Errorf("the Dockerfile has no %q", want)
		}
	}
	if version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "go.mod")); !strings.Contains(page, "FROM golang:"+version[1]+" ") {
		t.Errorf("the Dockerfile builds with another Go than %s", version[1])
	}
}
