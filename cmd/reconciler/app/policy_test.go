package app

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dynctl/state"
	"dynctl/state/kv"
)

const policyHead = "apiVersion: dynctl/v1alpha1\nkind: Policy\n"

// writeFile puts a file in the place of another at once, as a ConfigMap does.
func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// A reconciler judges by its policy's file, judges again when that changes, keeps the
// last one that it could read, and stops nothing that was accepted.
func TestThePolicyIsReadAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "policy.yaml")
	writeFile(t, file, policyHead)
	r := &rig{tb: t, policy: file}
	r.start("http://127.0.0.1:1")
	r.client = kv.New(r.connect())
	key := state.ModelKey("default", "m")
	accepted := func() state.Condition {
		st, err := r.client.GetStatus(t.Context(), key)
		if err != nil {
			return state.Condition{}
		}
		c, _ := st.Condition(state.CondAccepted)
		return c
	}
	policyCheck := func() check {
		_, _, checks := r.readyzOf()
		return checks["policy"]
	}

	r.put(key.String(), "apiVersion: dynctl/v1alpha1\nkind: Model\nmetadata: {name: m}\nspec: {model: a, engine: mocker, env: {PYTHONPATH: /x}}\n")
	r.eventually("it is denied", func() bool {
		c := accepted()
		return c.Status == state.StatusFalse && c.Reason == state.ReasonPolicyDenied && strings.Contains(c.Message, "spec.env.PYTHONPATH") && strings.Contains(c.Message, "defaults: env PYTHONPATH")
	})

	writeFile(t, file, policyHead+"env: {allow: [PYTHON")
	r.eventually("a broken file is told", func() bool {
		c := policyCheck()
		return c.State == checkDegraded && strings.Contains(c.Text, file+":3:")
	})
	if c := accepted(); c.Reason != state.ReasonPolicyDenied {
		t.Errorf("under a broken file: %+v", c)
	}

	writeFile(t, file, policyHead+"env: {allow: [PYTHONPATH]}\n")
	r.eventually("it is judged again", func() bool { return accepted().Status == state.StatusTrue && policyCheck().State == checkOK })

	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	r.eventually("a file that is gone is told", func() bool { return policyCheck().State == checkDegraded })

	writeFile(t, file, policyHead)
	r.eventually("what was accepted goes on, and says so", func() bool {
		st, err := r.client.GetStatus(t.Context(), key)
		if err != nil || st.AcceptedRevision == 0 {
			return false
		}
		for _, c := range st.Conditions {
			if strings.Contains(c.Message, "it was accepted before the policy denied it, and goes on") {
				return accepted().Status == state.StatusTrue
			}
		}
		return false
	})
}

func TestAPolicyThatCannotBeReadAtTheStart(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	dir := t.TempDir()
	if _, err := openPolicies(filepath.Join(dir, "none"), log); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "--policy") {
		t.Errorf("a file that is not there: %v", err)
	}
	broken := filepath.Join(dir, "broken.yaml")
	writeFile(t, broken, policyHead+"envs: {}\n")
	if _, err := openPolicies(broken, log); err == nil || !strings.Contains(err.Error(), "broken.yaml:3:1") || !strings.Contains(err.Error(), "did you mean env") {
		t.Errorf("a broken file: %v", err)
	}
	if p, err := openPolicies("", log); err != nil || p.inForce() == nil {
		t.Errorf("no file: %v", err)
	}
}
