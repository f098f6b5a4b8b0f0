package app

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/client_golang/prometheus"
)

const monitoring = "../../../deploy/monitoring"

// registered are the names of the metrics of this program.
func registered(t *testing.T) map[string]bool {
	m := newMetrics()
	m.registry.MustRegister(&gauges{})
	descs := make(chan *prometheus.Desc)
	go func() { m.registry.Describe(descs); close(descs) }()
	names := map[string]bool{}
	quoted := regexp.MustCompile(`fqName: "([^"]+)"`)
	for d := range descs {
		names[quoted.FindStringSubmatch(d.String())[1]] = true
	}
	if len(names) < 10 {
		t.Fatalf("only %d metrics are registered", len(names))
	}
	return names
}

// checkExpr fails for a metric that neither we nor Dynamo nor KubeRay have. What a
// query names beside metrics (functions, labels, words) has no such prefix.
func checkExpr(t *testing.T, where, expr string, ours map[string]bool) {
	t.Helper()
	named := regexp.MustCompile(`\b(?:dynctl|dynamo|kuberay)_[a-z0-9_]+`).FindAllString(expr, -1)
	if len(named) == 0 {
		t.Errorf("%s: %q names no metric", where, expr)
	}
	for _, name := range named {
		if !strings.HasPrefix(name, "dynctl_") {
			continue
		}
		base := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
		if !ours[name] && !ours[base] {
			t.Errorf("%s: %s is no metric of ours", where, name)
		}
	}
	if strings.Count(expr, "(") != strings.Count(expr, ")") || strings.Count(expr, "{") != strings.Count(expr, "}") {
		t.Errorf("%s: %q has unbalanced brackets", where, expr)
	}
}

// readYAML reads a file of the monitoring directory; a key that value does not
// have is an error.
func readYAML(t *testing.T, name string, value any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(monitoring, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalWithOptions(text, value, yaml.Strict()); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

type alertFile struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Alert       string
			Expr        string
			For         string
			Labels      map[string]string
			Annotations map[string]string
		}
	}
}

func TestAlertsNameMetricsThatExist(t *testing.T) {
	var file alertFile
	readYAML(t, "alerts.yaml", &file)
	ours, seen := registered(t), map[string]bool{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			checkExpr(t, r.Alert, r.Expr, ours)
			if seen[r.Alert] || r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("%s stands twice, or lacks a severity, a summary or a description", r.Alert)
			}
			seen[r.Alert] = true
		}
	}
	for _, want := range []string{"DynctlModelNotAvailable", "DynctlCrashLoop", "DynctlRolloutStalled", "DynctlAgentLost", "DynctlNoLeader", "DynctlEventsDropped"} {
		if !seen[want] {
			t.Errorf("there is no alert %s", want)
		}
	}
}

type dashboard struct {
	UID    string
	Title  string
	Panels []struct {
		ID         int
		Type       string
		Title      string
		Datasource struct{ Type, UID string }
		GridPos    struct{ X, Y, W, H int }
		Targets    []struct{ Expr string }
	}
	Templating struct {
		List []struct {
			Name  string
			Query any
		}
	}
}

func TestDashboardNamesMetricsThatExist(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(monitoring, "grafana-dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	ours, ids, cells := registered(t), map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("the id %d stands twice", p.ID)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := cells[[2]int{x, y}]; other != "" || x > 23 {
					t.Fatalf("panel %q lies over %q, or beyond the edge", p.Title, other)
				}
				cells[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 {
			t.Errorf("panel %q has no query, or a data source of one installation", p.Title)
		}
		for _, target := range p.Targets {
			checkExpr(t, p.Title, target.Expr, ours)
		}
	}
	for _, want := range []string{"dynctl_condition", "dynctl_replicas", "dynctl_restarts_total", "dynctl_time_to_ready_seconds_bucket", "dynamo_frontend_time_to_first_token_seconds_bucket"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no panel shows %s", want)
		}
	}
}

func TestEveryMetricOfOursIsShownOrAlertedOn(t *testing.T) {
	var all string
	for _, name := range []string{"grafana-dashboard.json", "alerts.yaml"} {
		text, err := os.ReadFile(filepath.Join(monitoring, name))
		if err != nil {
			t.Fatal(err)
		}
		all += string(text)
	}
	for name := range registered(t) {
		if strings.HasPrefix(name, "dynctl_") && !strings.Contains(all, name) {
			t.Errorf("nothing uses %s", name)
		}
	}
}

func TestPrometheusDiscoversWhatWeServe(t *testing.T) {
	var config struct {
		Global        map[string]string
		RuleFiles     []string `yaml:"rule_files"`
		ScrapeConfigs []struct {
			JobName       string                       `yaml:"job_name"`
			StaticConfigs []struct{ Targets []string } `yaml:"static_configs"`
			HTTPSDConfigs []struct {
				URL             string
				RefreshInterval string `yaml:"refresh_interval"`
			} `yaml:"http_sd_configs"`
			FileSDConfigs []struct{ Files []string } `yaml:"file_sd_configs"`
		} `yaml:"scrape_configs"`
	}
	readYAML(t, "prometheus.yaml", &config)
	discovered := false
	for _, s := range config.ScrapeConfigs {
		for _, sd := range s.HTTPSDConfigs {
			discovered = discovered || sd.URL == "http://127.0.0.1:9600/sd"
		}
	}
	if !discovered {
		t.Error("no job discovers /sd at the address of --http")
	}
	for _, f := range config.RuleFiles {
		if _, err := os.Stat(filepath.Join(monitoring, f)); err != nil {
			t.Error(err)
		}
	}
}
