package ray

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestStatic(t *testing.T) {
	tests := []struct{ name, address, want string }{
		{"as it is", "http://127.0.0.1:8265", "http://127.0.0.1:8265"},
		{"without the slash", "https://ray.example/prefix/", "https://ray.example/prefix"},
		{"no scheme", "127.0.0.1:8265", ""},
		{"Ray's own scheme", "ray://127.0.0.1:10001", ""},
		{"empty", "", ""},
		{"no host", "http://", ""},
		{"a query", "http://h/?x=1", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := NewStatic(test.address, "")
			if test.want == "" {
				if !errors.Is(err, ErrAddress) {
					t.Errorf("got %v", err)
				}
				return
			}
			if got, _ := s.Endpoint(t.Context()); got != (Endpoint{URL: test.want}) || err != nil {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestTargets(t *testing.T) {
	for _, ref := range []string{"", "prod", "/prod", "ml/", "a/b/c"} {
		if _, err := ClusterTarget(ref); !errors.Is(err, ErrAddress) || !strings.Contains(err.Error(), "--raycluster") {
			t.Errorf("%q: %v", ref, err)
		}
		if _, err := ServiceTarget(ref); !errors.Is(err, ErrAddress) || !strings.Contains(err.Error(), "--rayservice") {
			t.Errorf("%q: %v", ref, err)
		}
	}
}

func TestTokenFromEnv(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("of the file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const unset = "unset"
	tests := []struct{ name, mode, token, path, want string }{
		{"not in token mode", "", "ignored", "", ""},
		{"disabled beside a token", "disabled", "", file, ""},
		{"a token that is there counts by itself", unset, "", file, "of the file"},
		{"no mode and no token", unset, "", file + "x", ""},
		{"the variable", "token", " of the variable ", file, "of the variable"},
		{"the file", "TOKEN", "", file, "of the file"},
		{"no file", "token", "", file + "x", "error"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("RAY_AUTH_MODE", test.mode)
			if test.mode == unset {
				_ = os.Unsetenv("RAY_AUTH_MODE") // t.Setenv puts it back
			}
			t.Setenv("RAY_AUTH_TOKEN", test.token)
			t.Setenv("RAY_AUTH_TOKEN_PATH", test.path)
			got, err := TokenFromEnv()
			if test.want == "error" {
				if !errors.Is(err, ErrUnauthorized) {
					t.Errorf("got %v", err)
				}
				return
			}
			if got != test.want || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}
