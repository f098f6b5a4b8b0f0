package kv

import (
	"errors"
	"net/url"
	"strings"
	"testing"
)

func TestRedact(t *testing.T) {
	for raw, want := range map[string]string{
		"":                                "",
		"nats://h:4322":                   "nats://h:4322",
		"h:4322":                          "h:4322",
		"nats://[::1]:4222,nats://[::2]":  "nats://[::1]:4222,nats://[::2]",
		"nats://u:secret@h:4322":          "nats://u:xxxxx@h:4322",
		"u:secret@h:4322":                 "u:xxxxx@h:4322",
		"nats://u:sec%ret@h":              "nats://u:xxxxx@h",
		"nats://u:se/cr?e#t@h":            "nats://u:xxxxx@h",
		"nats://u:p@ss@h":                 "nats://u:xxxxx@h",
		"nats://secret@h:4322":            "nats://xxxxx@h:4322",
		"secret@h:4322":                   "xxxxx@h:4322",
		"nats://:secret@h":                "nats://:xxxxx@h",
		"wss://u:secret@h/path":           "wss://u:xxxxx@h/path",
		"nats://a:1,nats://u:secret@b:2":  "nats://a:1,nats://u:xxxxx@b:2",
		"nats://u:secret@a,nats://b:none": "nats://u:xxxxx@a,nats://b:none",
		"u:secret@a:1,u:secret@b:2,c:3":   "u:xxxxx@a:1,u:xxxxx@b:2,c:3",
		"a:1,secret@b:2":                  "a:1,xxxxx@b:2",
		"a:1, u:secret@b:2":               "a:1, u:xxxxx@b:2",
		"nats://u:sec,ret@h":              "nats://u:xxxxx@h",
	} {
		if got := Redact(raw); got != want {
			t.Errorf("%s: %q, want %q", raw, got, want)
		}
	}
}

// TestConnectTellsNoSecret: whatever is wrong with a URL, its secrets are in no
// error.
func TestConnectTellsNoSecret(t *testing.T) {
	for _, raw := range []string{
		"nats://me:secret@127.0.0.1:1,nats://me:secret@127.0.0.1:2", "me:secret@127.0.0.1:1", "nats://me:secret%zz@127.0.0.1:1",
		"nats://secret@127.0.0.1:1", "nats://me:secret,secret@127.0.0.1:1", "nats://me:secret@127.0.0.1:none",
	} {
		c, err := Connect(t.Context(), raw)
		if err == nil {
			c.Close()
			t.Fatalf("%s: connected", raw)
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", raw, err)
		}
		if !errors.Is(err, ErrUnreachable) {
			t.Errorf("%s: %v, want ErrUnreachable", raw, err)
		}
	}
	if err := RedactError(&url.Error{URL: "nats://me:secret@h", Err: errors.New("x")}); strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}
