package state

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// versionOfTests is a version that only tests know: spec.scale.count is what replicas are.
const versionOfTests = "dynctl/v1test1"

func withVersionOfTests(t *testing.T) {
	t.Helper()
	conversions[versionOfTests] = func(root *node) {
		spec := root.field("spec")
		if spec == nil {
			return
		}
		for i, f := range spec.fields {
			if f.key != "scale" || f.value.kind != nodeObject {
				continue
			}
			if count := f.value.field("count"); count != nil {
				spec.fields[i] = field{key: "replicas", line: f.line, col: f.col, value: count}
			}
		}
	}
	t.Cleanup(func() { delete(conversions, versionOfTests) })
}

// TestAnotherVersionIsConverted: after the decoder there is one version, in the object and in
// what is kept of it, and a fault is told where it stands in what was written.
func TestAnotherVersionIsConverted(t *testing.T) {
	withVersionOfTests(t)
	const head = "kind: Model\nmetadata: {name: m}\nspec:\n  model: org/m\n"
	for name, text := range map[string]string{
		"YAML": "apiVersion: " + versionOfTests + "\n" + head + "  scale: {count: 3}\n",
		"JSON": `{"apiVersion": "` + versionOfTests + `", "kind": "Model", "metadata": {"name": "m"}, "spec": {"model": "org/m", "scale": {"count": 3}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			got, err := DecodeValue(ModelKey(DefaultServer, "m"), []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			want, err := DecodeValue(ModelKey(DefaultServer, "m"), []byte("apiVersion: "+APIVersion+"\n"+head+"  replicas: 3\n"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want.Object, got.Object); diff != "" {
				t.Error(diff)
			}
			if string(got.Raw) != string(want.Raw) {
				t.Errorf("kept is %s, want %s", got.Raw, want.Raw)
			}
			if strings.Contains(text, "\n") {
				if line, _, snippet := Locate(got, "spec.replicas"); line != 6 || !strings.Contains(snippet, "scale: {count: 3}") {
					t.Errorf("spec.replicas is found on line %d: %s", line, snippet)
				}
			}
		})
	}
	_, err := Decode("m.yaml", []byte("apiVersion: "+versionOfTests+"\n"+head+"  scale: {cuont: 3}\n"))
	if err == nil || !strings.Contains(err.Error(), `m.yaml:6:3: spec has no field "scale"`) {
		t.Errorf("what cannot be converted: %v", err)
	}
}

// TestAnUnknownVersion has a reason of its own, with what to do; other text is no version.
func TestAnUnknownVersion(t *testing.T) {
	for _, tc := range []struct{ version, reason, want string }{
		{"dynctl/v2", ReasonUnknownVersion, `m.yaml:1:13: apiVersion "dynctl/v2" is not known here; this program reads dynctl/v1alpha1: write it as that, or upgrade reconciler and dynctl`},
		{"dynctl/v1alpha2", ReasonUnknownVersion, "did you mean dynctl/v1alpha1?"},
		{versionOfTests, ReasonUnknownVersion, "is not known here"},
		{"apps/v1", ReasonInvalidSpec, `apiVersion "apps/v1" is not known; it is dynctl/v1alpha1`},
		{"1", ReasonInvalidSpec, "is not known; it is dynctl/v1alpha1"},
		{"{a: b}", ReasonInvalidSpec, "is not known"},
	} {
		_, err := Decode("m.yaml", []byte("apiVersion: "+tc.version+"\nkind: Model\nmetadata: {name: m}\nspec: {model: org/m, later: 1}\n"))
		if err == nil || ReasonOf(err) != tc.reason || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: reason %s: %v\nwant %s, %s", tc.version, ReasonOf(err), err, tc.reason, tc.want)
		}
	}
}
