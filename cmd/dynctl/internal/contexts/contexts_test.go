package contexts

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dynctl/cmd/dynctl/internal/exit"
)

func home(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, ".config"))
	return dir
}

func TestAContextIsKept(t *testing.T) {
	dir := home(t)
	nkey := filepath.Join(dir, "seed")
	if err := os.WriteFile(nkey, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Add("lab", Connection{NATSURL: "nats://lab:4222", User: "me", Password: "secret", NKeyFile: "~/seed"}); err != nil {
		t.Fatal(err)
	}
	c, err := Read("lab")
	if err != nil || c.Name != "lab" || c.Password != "secret" || c.NKeyFile != nkey || c.Exposed {
		t.Errorf("read %+v, %v", c, err)
	}
	if err := os.Chmod(Path("lab"), 0o644); err != nil {
		t.Fatal(err)
	}
	if c, err := Read("lab"); err != nil || !c.Exposed {
		t.Errorf("a secret that others may read: %+v, %v", c, err)
	}
}

func TestTheSelectedContext(t *testing.T) {
	home(t)
	if err := Select("lab"); exit.CodeOf(err) != exit.Usage {
		t.Errorf("one that is not there is selected: %v", err)
	}
	if err := Add("lab", Connection{NATSURL: DefaultURL}); err != nil {
		t.Fatal(err)
	}
	if err := Select("lab"); err != nil || Selected() != "lab" || !slices.Equal(Names(), []string{"lab"}) {
		t.Errorf("selected %q of %v, %v", Selected(), Names(), err)
	}
	if err := Remove("lab"); err != nil || Selected() != "" || len(Names()) != 0 {
		t.Errorf("after its removal %q of %v, %v", Selected(), Names(), err)
	}
	if err := Remove("lab"); exit.CodeOf(err) != exit.NotFound {
		t.Errorf("removed again: %v", err)
	}
}

// What could only fail later, or in silence, is refused where it is said.
func TestContextsThatCannotWork(t *testing.T) {
	home(t)
	for want, c := range map[string]Connection{
		"there is no natsUrl":              {},
		"there is a password and no user":  {NATSURL: DefaultURL, Password: "x"},
		"certFile and keyFile go together": {NATSURL: DefaultURL, CertFile: "x"},
		"looks like Ray's dashboard":       {NATSURL: "http://ray:8265"},
		"no such file":                     {NATSURL: DefaultURL, CAFile: "/none/ca.pem"},
	} {
		if err := Add("x", c); err == nil || !strings.Contains(err.Error(), want) || exit.CodeOf(err) != exit.Usage {
			t.Errorf("%+v: got %v, want %q", c, err, want)
		}
	}
	if err := Add("../x", Connection{NATSURL: DefaultURL}); err == nil {
		t.Error("a name may leave the directory")
	}
	if names := Names(); len(names) > 0 {
		t.Errorf("there are %v", names)
	}
}

// Files of the nats command line are read as they are; a key that is misspelt is told.
func TestParse(t *testing.T) {
	c, err := parse([]byte(`{"url": "nats://a", "creds": "/c", "color_scheme": "", "nsc": null, "user": null}`))
	if err != nil || c.NATSURL != "nats://a" || c.CredsFile != "/c" {
		t.Errorf("got %+v, %v", c, err)
	}
	for text, want := range map[string]string{
		`{"url": "nats://a", "natsUrl": "nats://b"}`:   "say the same",
		`{"url": "nats://a", "tokn": "x"}`:             "did you mean token?",
		`{"url": "nats://a", "jetstream_domain": "x"}`: "dynctl does not have",
		`{"url": 4222}`:                 "want text",
		"{\n\"url\": \"nats://a\",,\n}": "line 2",
		`{"url": "nats://a", "something-else-altogether": "x"}`: "known are natsUrl",
	} {
		if _, err := parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

// Without a home nothing is kept, least of all in a directory that is named "~".
func TestAContextWithoutAHome(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, xdg := range map[string]string{"nothing is set": "", "it is relative": "here"} {
		t.Setenv("HOME", "")
		t.Setenv("XDG_CONFIG_HOME", xdg)
		err := Add("lab", Connection{NATSURL: "nats://lab:4222", User: "me", Password: "secret"})
		if exit.CodeOf(err) != exit.Unreachable || !strings.Contains(err.Error(), "set HOME") {
			t.Errorf("%s: %v", name, err)
		}
		if left, err := os.ReadDir("."); err != nil || len(left) > 0 {
			t.Errorf("%s: it left %v, %v", name, left, err)
		}
	}
}
