package agentaccess

import (
	"errors"
	"strings"
	"testing"
)

func TestDecode(t *testing.T) {
	if user, password, err := decode([]byte(`{"id": "x", "user": "root", "password": "p"}`)); user != "root" || password != "p" || err != nil {
		t.Errorf("got %q, %q, %v", user, password, err)
	}
	for _, open := range []string{`{}`, `{"user": "root"}`, `null`} {
		if _, _, err := decode([]byte(open)); !errors.Is(err, ErrOpen) {
			t.Errorf("%s: %v, want ErrOpen", open, err)
		}
	}
	if _, _, err := decode([]byte(`{"error": "` + strings.Repeat("no etcd ", 10000) + `"}`)); err == nil || len(err.Error()) > 5000 || !strings.Contains(err.Error(), "no etcd") {
		t.Errorf("got %v", err)
	}
	if _, _, err := decode([]byte(`{"user": "root", "password": 5, "x": "hush"}`)); err == nil || strings.Contains(err.Error(), "root") {
		t.Errorf("got %v", err)
	}
}
