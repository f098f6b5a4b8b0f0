package kube

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/yannh/kubeconform/pkg/validator"
)

var update = flag.Bool("update", false, "rewrite the manifests for kustomize")

const (
	root  = "../.."
	chart = root + "/deploy/helm/dynctl"
	// The releases whose schemas count. That of Kubernetes is the one whose API server
	// `make kube` runs, KubeRay's the one that the product is built with.
	kubernetes         = "k8s.io/kubernetes@v1.36.0"
	prometheusOperator = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
	kuberay            = "github.com/ray-project/kuberay/ray-operator"
)

// tool is a program of bin/.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(root, "bin", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run `make kube-check`, which fetches it", err)
	}
	return path
}

// run returns what a program writes.
func run(dir, name string, args ...string) (stdout, stderr string, err error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	var out, bad bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &bad
	err = cmd.Run()
	return out.String(), bad.String(), err
}

// module is the directory of a module, which the proxy has if the machine has not.
func module(t *testing.T, dir, name string) string {
	t.Helper()
	var m struct{ Dir, Error string }
	out, bad, err := run(dir, "go", "mod", "download", "-json", name)
	if json.Unmarshal([]byte(out), &m) != nil || err != nil || m.Error != "" {
		t.Fatalf("go mod download %s: %v %s%s", name, err, m.Error, bad)
	}
	return m.Dir
}

var schemas = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "dynctl-schemas-") })

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := schemas(); err == nil {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

var written sync.Once

// conform holds manifests against the schemas and returns how many there are.
func conform(t *testing.T, manifests string) int {
	t.Helper()
	dir, err := schemas()
	if err != nil {
		t.Fatal(err)
	}
	written.Do(func() {
		rays := filepath.Join(module(t, root, kuberay), "config/crd/bases")
		operator := filepath.Join(module(t, ".", prometheusOperator), "example/prometheus-operator-crd/monitoring.coreos.com_")
		err = writeSchemas(dir, filepath.Join(module(t, ".", kubernetes), "api/openapi-spec/swagger.json"), []string{
			rays + "/ray.io_rayclusters.yaml", rays + "/ray.io_rayservices.yaml",
			operator + "servicemonitors.yaml", operator + "prometheusrules.yaml", operator + "scrapeconfigs.yaml",
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	v, err := validator.New([]string{dir + "/{{.ResourceKind}}_{{.Group}}_{{.ResourceAPIVersion}}.json"}, validator.Opts{Strict: true})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, r := range v.Validate("manifests", io.NopCloser(strings.NewReader(manifests))) {
		switch r.Status {
		case validator.Empty:
		case validator.Valid:
			n++
		default:
			sig, _ := r.Resource.Signature()
			t.Errorf("%+v: %v %v", sig, r.Err, r.ValidationErrors)
		}
	}
	return n
}

func examples(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(root + "/deploy/helm/examples/*.yaml")
	if err != nil || len(files) < 9 {
		t.Fatalf("%d examples, %v", len(files), err)
	}
	return files
}

// Every example of values renders to manifests that are right, and lint finds nothing.
func TestExamples(t *testing.T) {
	helm := tool(t, "helm")
	for _, file := range examples(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			if out, bad, err := run(".", helm, "lint", "--strict", "--quiet", "-f", file, chart); err != nil {
				t.Errorf("helm lint: %v\n%s%s", err, out, bad)
			}
			out, bad, err := run(".", helm, "template", "dynctl", chart, "-n", "serving", "-f", file)
			if err != nil {
				t.Fatalf("helm template: %v\n%s", err, bad)
			}
			if n := conform(t, out); n < 3 {
				t.Errorf("%d manifests", n)
			}
			wants(t, filepath.Base(file), out)
		})
	}
}

// wants are what the point of an example is.
func wants(t *testing.T, example, manifests string) {
	t.Helper()
	for _, want := range map[string][]string{
		"embedded.yaml": {"--http-token-file=/etc/dynctl/http/token", "secretName: dynctl-http, optional: true", "path: \"/healthz?ready\"", "replicas: 1", "type: Recreate", "kind: PersistentVolumeClaim", "helm.sh/resource-policy: keep", "--listen=0.0.0.0:4322", "value: \"serving/prod\"",
			"- name: XDG_CONFIG_HOME\n              value: /var/lib/dynctl/"},
		"two-replicas.yaml": {"replicas: 2", "kind: PodDisruptionBudget", "dynctl.$(POD_NAMESPACE).svc,", "--nats-url-file=/etc/dynctl/nats/url", "resources: [secrets]\n    resourceNames: [\"prod\"]"},
		"open-nats.yaml":    {"replicas: 3", "namespace: ml", "value: \"ml/prod\"", "resources: [secrets]\n    resourceNames: [\"ray-token\"]"},
		"account.yaml":      {"\"ray:write\""},
		"rayservice.yaml":   {"--rayservice=$(RAY_SERVICE)", "resources: [rayservices]", "resourceNames: [\"chat-ray-token\"]", "--nats-url-file=/etc/dynctl/nats/nats.url"},
		"address.yaml":      {"name: RAY_AUTH_TOKEN", "automountServiceAccountToken: false", "--nats-url=tls://", "--tls-ca=/etc/dynctl/nats-ca/ca.crt", "secret: {secretName: lab-authority, defaultMode: 0440}", "--ray-ca=/etc/dynctl/ray-ca/lab.pem"},
		"monitoring.yaml": {"kind: ServiceMonitor", "kind: PrometheusRule", "{{ $labels.model }}", "kind: ScrapeConfig", "release: kube-prometheus-stack", "credentials: {name: dynctl-http, key: token}",
			"url: https://", "secret: {name: dynctl-tls, key: ca.crt}", "scheme: https\n"},
		"everything.yaml": {"@sha256:0123", "resources: [secrets]\n    resourceNames: [\"sters-of-a-team-whose-names-are-long-in-production\"]", "storageClassName: \"fast\"", "secretName: fleet-viewer", "--tls-key=/etc/dynctl/tls/tls.key", "--tls-ca=/etc/dynctl/tls/ca.crt", "scheme: HTTPS}", "configMap: {name: fleet-policy}", "--policy=/etc/dynctl/policy/policy.yaml"},
		"bare.yaml":       {"claimName: dynctl-store", "serviceAccountName: reconciler"},
	}[example] {
		if !strings.Contains(manifests, want) {
			t.Errorf("has no %q", want)
		}
	}
	for _, not := range map[string][]string{
		"embedded.yaml":   {"PodDisruptionBudget", "ray:write", "resources: [secrets]"},
		"address.yaml":    {"kind: Role", "--raycluster"},
		"everything.yaml": {"resource-policy"},
		"bare.yaml":       {"kind: Role", "kind: ServiceAccount", "kind: NetworkPolicy", "kind: PersistentVolumeClaim"},
	}[example] {
		if strings.Contains(manifests, not) {
			t.Errorf("has %q", not)
		}
	}
}

// What cannot work is refused before anything is installed, with the value to change.
func TestRefused(t *testing.T) {
	helm := tool(t, "helm")
	for _, row := range []struct{ set, says string }{
		{"", "set one of ray.cluster"},
		{"ray.cluster=a,ray.service=b", "set one of ray.cluster"},
		{"ray.cluster=a,replicas=2", "several replicas need one NATS"},
		{"ray.cluster=a,nats.url=nats://u:p@n:4222", "nats.urlSecret.name"},
		{"ray.cluster=a,nats.url=nats://n:4222,nats.urlSecret.name=s", "set one of them"},
		{"ray.cluster=a,nats.caSecret.name=s", "nats.caSecret is for an external NATS"},
		{"ray.address=http://h:8265,ray.caSecret.name=s", "ray.caSecret is for a dashboard behind https"},
		{"ray.service=a,ray.auth.mode=token", "ray.auth.secretName"},
		{"ray.service=a,ray.auth.mode=kubernetes", "RayClusters alone"},
		{"ray.address=http://h:8265,ray.namespace=ml", "ray.address needs none"},
		{"ray.address=h:8265", "address"},
		{"ray.cluster=a,ray.auth.mode=basic", "mode"},
		{"ray.cluster=A_b", "cluster"},
		{"ray.cluster=a,ray.clutser=a", "clutser"},
		{"ray.cluster=a,replicas=0", "replicas"},
		{"ray.cluster=a,image.digest=latest", "digest"},
		{"ray.cluster=a,store.size=large", "size"},
	} {
		_, bad, err := run(".", helm, "template", "dynctl", chart, "--set", row.set)
		if err == nil || !strings.Contains(bad, row.says) {
			t.Errorf("%q: %v %s, want %q", row.set, err, bad, row.says)
		}
	}
}

// The notes of each example render, and say the next command.
func TestNotes(t *testing.T) {
	helm := tool(t, "helm")
	for _, file := range examples(t) {
		out, bad, err := run(".", helm, "install", "dynctl", chart, "-n", "serving", "-f", file, "--dry-run=client")
		_, notes, ok := strings.Cut(out, "\nNOTES:\n")
		if err != nil || !ok || !strings.Contains(notes, "/readyz") || !strings.Contains(notes, "dynctl set") {
			t.Errorf("%s: %v %s\n%s", file, err, bad, notes)
		}
	}
	// How somebody comes by a first credential, and that nobody needs one.
	for args, want := range map[string]string{`[]`: "exec deploy/dynctl -- /dynctl creds add admin", `["--store-auth=false"]`: "The store asks for no password"} {
		out, bad, err := run(".", helm, "install", "dynctl", chart, "-n", "serving", "-f", root+"/deploy/helm/examples/embedded.yaml", "--dry-run=client", "--set-json", "extraArgs="+args)
		_, notes, _ := strings.Cut(out, "\nNOTES:\n")
		if err != nil || !strings.Contains(notes, want) {
			t.Errorf("extraArgs %s: %v %s\nno %q in\n%s", args, err, bad, want, notes)
		}
	}
}

var (
	managedByHelm = regexp.MustCompile(`(?m)^ *(app\.kubernetes\.io/managed-by: Helm|helm\.sh/chart: .*|app\.kubernetes\.io/instance: .*)\n`)
	ofHelm        = regexp.MustCompile(`(?m)^ *annotations:\n *helm\.sh/resource-policy: keep\n`)
	sources       = regexp.MustCompile(`(?m)^# Source: .*\n`)
)

// The manifests for kustomize are what the chart renders.
func TestKustomize(t *testing.T) {
	helm, kubectl := tool(t, "helm"), tool(t, "kubectl")
	for dir, args := range map[string][]string{
		"embedded":     {"--set", "ray.cluster=raycluster"},
		"two-replicas": {"--set", "ray.cluster=raycluster,ray.auth.mode=token,nats.urlSecret.name=dynctl-nats"},
		"monitoring": {"--set", "ray.cluster=raycluster,monitoring.serviceMonitor.enabled=true,monitoring.scrapeConfig.enabled=true,monitoring.prometheusRule.enabled=true",
			"-s", "templates/monitoring.yaml"},
	} {
		t.Run(dir, func(t *testing.T) {
			out, bad, err := run(".", helm, append([]string{"template", "dynctl", chart, "-n", "dynctl"}, args...)...)
			if err != nil {
				t.Fatalf("%v\n%s", err, bad)
			}
			out = sources.ReplaceAllString(ofHelm.ReplaceAllString(managedByHelm.ReplaceAllString(out, ""), ""), "")
			out = "# What the chart renders; `make kube-check UPDATE=1` rewrites it.\n" + strings.TrimPrefix(out, "---\n")
			path := root + "/deploy/kustomize/" + dir + "/manifests.yaml"
			if *update {
				if err := os.WriteFile(path, []byte(out), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if was, err := os.ReadFile(path); err != nil || string(was) != out {
				t.Errorf("%s is not what the chart renders (%v): make kube-check UPDATE=1", path, err)
			}
		})
	}
	for _, dir := range []string{"embedded", "two-replicas", "example"} {
		out, bad, err := run(".", kubectl, "kustomize", root+"/deploy/kustomize/"+dir)
		if err != nil {
			t.Errorf("kubectl kustomize %s: %v\n%s", dir, err, bad)
			continue
		}
		if n := conform(t, out); n < 6 {
			t.Errorf("%s: %d manifests", dir, n)
		}
		if dir == "example" {
			for _, want := range []string{"value: ml/prod", "image: registry.example/dynctl:0.1.0", "namespace: ml", "kind: ServiceMonitor"} {
				if !strings.Contains(out, want) {
					t.Errorf("example: has no %q", want)
				}
			}
			for _, left := range []string{"raycluster\n", "namespace: dynctl", "dynctl.dynctl"} {
				if strings.Contains(out, left) {
					t.Errorf("example: the base's %q is left somewhere", left)
				}
			}
		}
	}
}

// Every block of the page that is a manifest conforms, and each of its helm commands
// renders.
func TestPage(t *testing.T) {
	helm := tool(t, "helm")
	raw, err := os.ReadFile(root + "/docs/kubernetes.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(raw)
	manifests := 0
	for _, m := range regexp.MustCompile("(?s)```yaml[^\n]*\n(.*?)```").FindAllStringSubmatch(page, -1) {
		if strings.Contains(m[1], "apiVersion: dynctl/") || !strings.Contains(m[1], "apiVersion:") {
			continue
		}
		manifests += conform(t, m[1])
	}
	commands := regexp.MustCompile(`(?m)^\$ helm (?:install|upgrade) (.*)$`).FindAllStringSubmatch(page, -1)
	for _, m := range commands {
		args := append([]string{"template"}, strings.Fields(strings.NewReplacer("--install ", "", "--create-namespace", "", "--wait", "").Replace(m[1]))...)
		out, bad, err := run(root, helm, args...)
		if err != nil {
			t.Errorf("%s: %v\n%s", m[0], err, bad)
			continue
		}
		conform(t, out)
	}
	if manifests < 2 || len(commands) < 2 {
		t.Errorf("%d manifests and %d commands in the page", manifests, len(commands))
	}
}
