package local

import (
	"errors"
	"path/filepath"
	"testing"
)

func TestAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	failed := errors.New("the start's own error")
	err := Alone(dir, func() error {
		if err := Alone(dir, func() error { return nil }); !errors.Is(err, ErrStarting) {
			t.Errorf("the second one: %v, want ErrStarting", err)
		}
		return failed
	})
	if !errors.Is(err, failed) {
		t.Errorf("got %v, want the start's error", err)
	}
	if err := Alone(dir, func() error { return nil }); err != nil {
		t.Errorf("after the first one: %v", err)
	}
}
