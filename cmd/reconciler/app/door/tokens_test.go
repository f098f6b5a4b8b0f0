package door

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dynctl/cmd/internal/reread"
)

const (
	someToken  = "0123456789abcdef0123456789abcdef"
	otherToken = "fedcba9876543210fedcba9876543210"
	logsToken  = "logs5678901234567890123456789012"
)

func writeTokens(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func TestFilesOfTokens(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		mode       os.FileMode
		want       string // in the error; empty: it is taken
		tokens     int
	}{
		{"one", someToken, 0o600, "", 1},
		{"with roles, notes and blanks", "# ours\n\nviewer " + someToken + "\nviewer-logs\t" + otherToken + "\r\n", 0o400, "", 2},
		{"none", "\n", 0o600, "", 0},
		{"others may read it", someToken, 0o644, "chmod 600", 0},
		{"the group may", someToken, 0o640, "chmod 600", 0},
		{"a short one", someToken + "\nshort", 0o600, "2: the token has 5 characters", 0},
		{"another role", "root " + someToken, 0o600, "1: the first of two words is a role: viewer, viewer-logs or admin", 0},
		{"three words", "viewer " + someToken + " x", 0o600, "want TOKEN, or ROLE TOKEN", 0},
		{"a large file", strings.Repeat("#\n", maxTokenFile), 0o600, "at most 65536 are read", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "tokens")
			writeTokens(t, path, tc.text, tc.mode)
			tokens, err := OpenTokens(path)
			if tc.want != "" {
				if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), someToken) {
					t.Errorf("%v, want %q and no token in it", err, tc.want)
				}
				return
			}
			if err != nil || len(*tokens.current.Get()) != tc.tokens {
				t.Errorf("%v", err)
			}
		})
	}
	if tokens, err := OpenTokens(filepath.Join(t.TempDir(), "none")); err != nil || asked(t, tokens, "192.0.2.1:1", "Authorization", "Bearer ") != Nobody {
		t.Errorf("a file that is not there: %v", err)
	}
}

// asked is what a client is let in as.
func asked(t *testing.T, tokens *Tokens, from string, header ...string) Role {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
	r.RemoteAddr = from
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return tokens.role(r)
}

func TestRoles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	writeTokens(t, path, someToken+"\nadmin "+otherToken+"\n", 0o600)
	tokens, err := OpenTokens(path)
	if err != nil {
		t.Fatal(err)
	}
	basic := func(user, password string) string {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		r.SetBasicAuth(user, password)
		return r.Header.Get("Authorization")
	}
	const elsewhere = "192.0.2.1:4000"
	for _, tc := range []struct {
		name, from string
		header     []string
		want       Role
	}{
		{"loopback", "127.0.0.1:4000", nil, Admin},
		{"loopback of IPv6", "[::1]:4000", nil, Admin},
		{"loopback, mapped", "[::ffff:127.0.0.9]:4000", nil, Admin},
		{"elsewhere", elsewhere, nil, Nobody},
		{"elsewhere, vouched for as loopback", elsewhere, []string{"X-Forwarded-For", "127.0.0.1", "X-Real-IP", "127.0.0.1", "Forwarded", "for=127.0.0.1"}, Nobody},
		{"no address", "@", nil, Nobody},
		{"a token", elsewhere, []string{"Authorization", "Bearer " + someToken}, Viewer},
		{"in another spelling", elsewhere, []string{"Authorization", "bearer  " + someToken + " "}, Viewer},
		{"of an admin", elsewhere, []string{"Authorization", "Bearer " + otherToken}, Admin},
		{"as a password", elsewhere, []string{"Authorization", basic("anybody", someToken)}, Viewer},
		{"as a user", elsewhere, []string{"Authorization", basic(someToken, "")}, Nobody},
		{"the beginning of one", elsewhere, []string{"Authorization", "Bearer " + someToken[:31]}, Nobody},
		{"one and more", elsewhere, []string{"Authorization", "Bearer " + someToken + "0"}, Nobody},
		{"another scheme", elsewhere, []string{"Authorization", "Token " + someToken}, Nobody},
		{"without a scheme", elsewhere, []string{"Authorization", someToken}, Nobody},
		{"with its role", elsewhere, []string{"Authorization", "Bearer admin " + otherToken}, Nobody},
		{"the second of two", elsewhere, []string{"Authorization", "Bearer x", "Authorization", "Bearer " + someToken}, Nobody},
		{"empty", elsewhere, []string{"Authorization", "Bearer "}, Nobody},
	} {
		if got := asked(t, tokens, tc.from, tc.header...); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
	for name, none := range map[string]*Tokens{"no file": {}, "nothing": nil} {
		if got := asked(t, none, elsewhere, "Authorization", "Bearer "+someToken); got != Nobody {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// A file is read again: another token counts, the one before does not; a broken file
// leaves the last tokens in force, and an empty one lets nobody in.
func TestTokensAreReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	synctest.Test(t, func(t *testing.T) {
		writeTokens(t, path, someToken, 0o600)
		tokens, err := OpenTokens(path)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go tokens.Follow(ctx, slog.New(slog.DiscardHandler))
		as := func(secret string) Role {
			return asked(t, tokens, "192.0.2.1:1", "Authorization", "Bearer "+secret)
		}
		later := func() {
			time.Sleep(2 * reread.Every)
			synctest.Wait()
		}
		writeTokens(t, path, "viewer-logs "+otherToken, 0o600)
		later()
		if as(someToken) != Nobody || as(otherToken) != ViewerLogs {
			t.Error("the new one does not count alone")
		}
		for _, broken := range []struct {
			text string
			mode os.FileMode
		}{{"short", 0o600}, {someToken, 0o644}} {
			writeTokens(t, path, broken.text, broken.mode)
			later()
			if as(otherToken) != ViewerLogs || as(someToken) != Nobody || tokens.Wrong() == "" {
				t.Errorf("under a broken file: %q", tokens.Wrong())
			}
		}
		writeTokens(t, path, "", 0o600)
		later()
		if as(otherToken) != Nobody || tokens.Wrong() != "" {
			t.Errorf("under an empty file: %q", tokens.Wrong())
		}
		writeTokens(t, path, someToken, 0o600)
		later()
		if err := os.Remove(path); err != nil || as(someToken) != Viewer {
			t.Errorf("with one again: %q, %v", as(someToken), err)
		}
		later()
		if as(someToken) != Nobody {
			t.Error("without a file")
		}
	})
}

// An answer that goes on for long, as the page's stream, ends with its token, and not with
// another one's.
func TestAnAnswerEndsWithItsToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	writeTokens(t, path, someToken+"\nadmin "+otherToken+"\n", 0o600)
	tokens, err := OpenTokens(path)
	if err != nil {
		t.Fatal(err)
	}
	begun := make(chan struct{})
	h := guard(Hosts{}, tokens, NewGate("requests", 9, 9), http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		<-r.Context().Done()
	}))
	open := func(secret string) (ended chan struct{}) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/events", http.NoBody)
		r.Host = "localhost"
		r.Header.Set("Authorization", "Bearer "+secret)
		ended = make(chan struct{})
		go func() {
			defer close(ended)
			h.ServeHTTP(httptest.NewRecorder(), r)
		}()
		<-begun
		return ended
	}
	viewer, admin := open(someToken), open(otherToken)
	log := slog.New(slog.DiscardHandler)
	writeTokens(t, path, "admin "+otherToken+"\nviewer-logs "+logsToken+"\n", 0o600)
	tokens.look(log)
	<-viewer
	select {
	case <-admin:
		t.Error("the other one has ended")
	default:
	}
	writeTokens(t, path, otherToken, 0o600)
	tokens.look(log)
	<-admin // its role is another one
	if len(tokens.held) != 0 {
		t.Errorf("%d are held", len(tokens.held))
	}
}
