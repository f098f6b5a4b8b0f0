package state

import (
	"strings"
	"testing"
)

// TestHideSecrets: whatever text a URL stands in, its secret is not.
func TestHideSecrets(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "no URL": "no URL", "http://h:1/path": "http://h:1/path", "mail me@h": "mail me@h",
		`dial "http://me:hush@h:1": no such host`:       `dial "http://me:xxxxx@h:1": no such host`,
		"a nats://hush@h, nats://u:hush@h2,http://h3 b": "a nats://xxxxx@h, nats://u:xxxxx@h2,http://h3 b",
		"nats://u:hu/sh?@h x@y":                         "nats://u:xxxxx@h x@y",
		"nats://u:hu@sh@h":                              "nats://u:xxxxx@h",
		"http://me:xxxx@h":                              "http://me:xxxx@h",
		"http://":                                       "http://",
	} {
		got := HideSecrets(in)
		if got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
		if again := HideSecrets(got); again != got {
			t.Errorf("%q: hidden twice it is %q", in, again)
		}
	}
}

// TestRedactDocument hides the URLs of a Server and nothing else.
func TestRedactDocument(t *testing.T) {
	for in, want := range map[string]string{
		`{"spec":{"etcd":{"endpoint":"http://me:hush@h:1?token=hush"},"nats":{"url":"hush@h"},"x":[1.0]}}`: `{"spec":{"etcd":{"endpoint":"http://me:xxxxx@h:1?token=xxxxx"},"nats":{"url":"xxxxx@h"},"x":[1.0]}}`,
		`{"spec":{"etcd":{"endpoint":"http://h:1"}}}`:                                                      `{"spec":{"etcd":{"endpoint":"http://h:1"}}}`,
		`{"spec":{"etcd":7}}`: `{"spec":{"etcd":7}}`,
		`[]`:                  `[]`, `null`: `null`, ``: ``,
	} {
		if got := string(RedactDocument([]byte(in))); got != want {
			t.Errorf("%s: got %s", in, got)
		}
	}
}

// TestARedactedURLIsNotTaken: what was shown in place of a secret is no secret.
func TestARedactedURLIsNotTaken(t *testing.T) {
	for url, taken := range map[string]bool{
		"http://me:hush@h:1": true, "http://h:1": true,
		"http://me:xxxxx@h:1": false, "nats://xxxxx@h": false, "http://h:1,http://me:xxxxx@h:2": false, "http://h:1?token=xxxxx": false,
	} {
		s := DefaultedServer("default")
		s.Spec.Etcd.Endpoint = url
		if bad := ValidateServer(s); (len(bad) == 0) != taken {
			t.Errorf("%s: %v", url, bad)
		} else if !taken && strings.Contains(bad[0].Error(), "hush") {
			t.Error(bad[0])
		}
	}
	s := DefaultedServer("default")
	s.Spec.NATS.URL = RedactURL("nats://me:hush@h:4222")
	if len(ValidateServer(s)) == 0 {
		t.Error("a redacted spec.nats.url is taken")
	}
}

// TestHideValue: only what cannot be a secret is shown.
func TestHideValue(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "0": "0", "0.5": "0.5", "true": "true", "nats": "nats", "hush": "xxxxx", "1234567": "xxxxx", "hf_abc": "xxxxx",
		"http://h:1": "http://h:1", "http://u:hush@h": "http://u:xxxxx@h", "http://h hush": "xxxxx",
	} {
		if got := HideValue(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// FuzzHideSecrets: hiding is final, and loses nothing but secrets.
func FuzzHideSecrets(f *testing.F) {
	for _, seed := range []string{"http://a:b@c", "://@", "a://b:c@d,e://f@g", "http://x\n@y", "://://@@:", "nats://u:p?q=r&s=t@h"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once := HideSecrets(s)
		if HideSecrets(once) != once {
			t.Fatalf("%q: %q, then %q", s, once, HideSecrets(once))
		}
		if !strings.Contains(s, "://") && once != s {
			t.Fatalf("%q: %q", s, once)
		}
		RedactURL(s)
		HideValue(s)
	})
}
