package dgd

import (
	"encoding/json"
	"strings"
	"testing"
)

// What a ConfigMap holds is taken as it is, as in Kubernetes, which expands references
// in env[].value alone; envFrom[].prefix stands before each name.
func TestWhatAConfigMapHoldsIsNotExpanded(t *testing.T) {
	configs := ConfigMaps{}
	configs.Add("c", json.RawMessage(`{"data": {"RAW": "$(A) $$(A) $$ $(NOBODY)", "OTHER": "x"}}`))
	const doc = `{"apiVersion": "nvidia.com/v1alpha1", "kind": "DynamoGraphDeployment", "metadata": {"name": "d"}, "spec": {
		"envs": [{"name": "A", "value": "1"}, {"name": "ALL", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "RAW"}}}],
		"services": {"w": {"componentType": "worker", "extraPodSpec": {"mainContainer": {
			"command": ["python3", "-m", "dynamo.vllm", "--model", "org/$(P_OTHER)"],
			"envFrom": [{"prefix": "P_", "configMapRef": {"name": "c"}}, {"prefix": "S_", "secretRef": {"name": "s"}}],
			"env": [{"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "RAW"}}}, {"name": "WRITTEN", "value": "$(A) $$ $(P_OTHER)"}]}}}}}}`
	r, err := Convert(json.RawMessage(doc), configs)
	if err != nil || len(r.Models) != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	const raw = "$(A) $$(A) $$ $(NOBODY)"
	spec := r.Models[0].Spec
	for name, want := range map[string]string{"KEY": raw, "P_RAW": raw, "P_OTHER": "x", "WRITTEN": "1 $ x", "RAW": ""} {
		if got := spec.Env[name].Value; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if got := r.Server.Spec.Env["ALL"].Value; got != raw {
		t.Errorf("ALL of the deployment is %q", got)
	}
	if spec.Model != "org/x" {
		t.Errorf("the model is %q", spec.Model)
	}
	notes := strings.Join(r.Notes, "\n")
	if strings.Contains(notes, "no counterpart: envFrom") || strings.Contains(notes, "NOBODY") || !strings.Contains(notes, "S_") {
		t.Errorf("notes: %s", notes)
	}
}
