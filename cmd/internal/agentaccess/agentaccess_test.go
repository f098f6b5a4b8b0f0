package agentaccess

import (
	"errors"
	"strings"
	"testing"

	"dynctl/state/registry"
)

func TestDecode(t *testing.T) {
	for answer, want := range map[string]registry.Login{
		`{"id": "x", "user": "root", "password": "p"}`:                       {User: "root", Password: "p"},
		`{"ca": "a", "cert": "c", "key": "k"}`:                               {CA: "a", Cert: "c", Key: "k"},
		`{"user": "u", "password": "p", "ca": "a", "cert": "c", "key": "k"}`: {User: "u", Password: "p", CA: "a", Cert: "c", Key: "k"},
	} {
		if got, err := decode([]byte(answer)); got != want || err != nil {
			t.Errorf("%s: %+v, %v", answer, got, err)
		}
	}
	for _, open := range []string{`{}`, `{"user": "root"}`, `{"ca": "a"}`, `null`} {
		if _, err := decode([]byte(open)); !errors.Is(err, ErrOpen) {
			t.Errorf("%s: %v, want ErrOpen", open, err)
		}
	}
	if _, err := decode([]byte(`{"error": "` + strings.Repeat("no etcd ", 10000) + `"}`)); err == nil || len(err.Error()) > 5000 || !strings.Contains(err.Error(), "no etcd") {
		t.Errorf("got %v", err)
	}
	if _, err := decode([]byte(`{"user": "root", "password": 5, "x": "hush"}`)); err == nil || strings.Contains(err.Error(), "root") {
		t.Errorf("got %v", err)
	}
}
