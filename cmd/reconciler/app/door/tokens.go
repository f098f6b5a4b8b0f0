package door

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"

	"dynctl/cmd/internal/reread"
)

// Role is what a client may read.
type Role string

// Roles. Whoever comes over loopback is on the machine itself, and is an admin.
const (
	Nobody     Role = ""            // /healthz
	Viewer     Role = "viewer"      // all but logs
	ViewerLogs Role = "viewer-logs" // all
	Admin      Role = "admin"       // all
)

func (r Role) readsLogs() bool { return r == ViewerLogs || r == Admin }

const (
	// minToken is how short a token may be, in characters: nobody guesses 32 of them.
	minToken = 32
	// maxTokenFile bounds the file, in bytes.
	maxTokenFile = 64 << 10
)

// Tokens are what clients from elsewhere prove themselves by. The zero value lets
// nobody in. Its methods may be called from any goroutine.
type Tokens struct {
	file    string
	current reread.Value[[]token]

	mu   sync.Mutex
	held map[*http.Request]func() // what is being answered to a token; each looks whether that still counts
}

// token is kept as its digest: all have one length, so that comparing them takes one
// time.
type token struct {
	digest [sha256.Size]byte
	role   Role
}

// OpenTokens reads a file of tokens, one a line, "TOKEN" or "ROLE TOKEN"; without a file,
// or while it is not there, there are none. It fails where others may read the file, or
// where a line is wrong.
func OpenTokens(file string) (*Tokens, error) {
	t := &Tokens{file: file}
	if file == "" {
		return t, nil
	}
	list, err := readTokens(file)
	if err != nil {
		return nil, err
	}
	t.current.Set(&list)
	return t, nil
}

func readTokens(file string) ([]token, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := private(info); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if info.Size() > maxTokenFile {
		return nil, fmt.Errorf("%s has %d bytes, and at most %d are read: keep the tokens that are in use", file, info.Size(), maxTokenFile)
	}
	var raw bytes.Buffer
	if _, err := raw.ReadFrom(f); err != nil {
		return nil, err
	}
	return parseTokens(file, raw.Bytes())
}

// private reports what is wrong with the mode of a file of secrets. One of our own is
// ours alone; one of another's, as Kubernetes mounts a Secret, is read through its group.
func private(info os.FileInfo) error {
	shared := os.FileMode(0o077)
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && int(owner.Uid) != os.Geteuid() {
		shared = 0o037
	}
	if info.Mode().Perm()&shared != 0 {
		return fmt.Errorf("its mode is %04o, so others may read or write it: chmod 600", info.Mode().Perm())
	}
	return nil
}

// parseTokens reads the lines of a file. No error repeats a token.
func parseTokens(file string, raw []byte) ([]token, error) {
	var out []token
	lines := bufio.NewScanner(bytes.NewReader(raw))
	for n := 1; lines.Scan(); n++ {
		words := strings.Fields(lines.Text())
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		role := Viewer
		if len(words) == 2 {
			role, words = Role(words[0]), words[1:]
		}
		switch secret := words[0]; {
		case len(words) > 1:
			return nil, fmt.Errorf("%s:%d: want TOKEN, or ROLE TOKEN", file, n)
		case !slices.Contains([]Role{Viewer, ViewerLogs, Admin}, role):
			return nil, fmt.Errorf("%s:%d: the first of two words is a role: %s, %s or %s", file, n, Viewer, ViewerLogs, Admin)
		case len(secret) < minToken:
			return nil, fmt.Errorf("%s:%d: the token has %d characters, and at least %d are needed: openssl rand -hex 32 makes one", file, n, len(secret), minToken)
		default:
			out = append(out, token{sha256.Sum256([]byte(secret)), role})
		}
	}
	return out, lines.Err()
}

// Follow reads the file again until ctx ends. One that cannot be read leaves the last
// tokens in force: it may be half written. One that is empty or gone lets nobody in.
func (t *Tokens) Follow(ctx context.Context, log *slog.Logger) {
	if t.file != "" {
		reread.Follow(ctx, func() { t.look(log) })
	}
}

func (t *Tokens) look(log *slog.Logger) {
	list, err := readTokens(t.file)
	if err != nil {
		if text, tell := t.current.Fail(err); tell {
			log.Error("the file of tokens does not count; the last ones that could be read do", "err", text, "fix", "correct it")
		}
		return
	}
	if was := t.current.Get(); was != nil && slices.Equal(*was, list) {
		t.current.Keep()
		return
	}
	t.current.Set(&list)
	t.mu.Lock()
	for _, look := range t.held {
		look()
	}
	t.mu.Unlock()
	log.Info("other HTTP tokens are in force", "file", t.file, "tokens", len(list))
}

// Wrong is why the file as it is now does not count; empty: it does.
func (t *Tokens) Wrong() string {
	if t == nil {
		return ""
	}
	return t.current.Wrong()
}

// role is what whoever sent a request may read.
func (t *Tokens) role(r *http.Request) Role {
	if fromLoopback(r) {
		return Admin
	}
	given, ok := secretOf(r)
	if t == nil || !ok {
		return Nobody
	}
	digest, found := sha256.Sum256([]byte(given)), Nobody
	list := t.current.Get()
	if list == nil {
		return Nobody
	}
	for _, x := range *list { // all of them, so that the time tells nothing
		if subtle.ConstantTimeCompare(x.digest[:], digest[:]) == 1 {
			found = x.role
		}
	}
	return found
}

// hold is the context of an answer: it ends when the token that it is given to does not
// count any more, as a page may be open for days. done is called at its end.
func (t *Tokens) hold(r *http.Request, role Role) (ctx context.Context, done func()) {
	if t == nil || t.file == "" || role == Nobody || fromLoopback(r) {
		return r.Context(), func() {}
	}
	ctx, cancel := context.WithCancel(r.Context())
	look := func() {
		if t.role(r) != role {
			cancel()
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held == nil {
		t.held = map[*http.Request]func(){}
	}
	t.held[r] = look
	look() // it may have changed since it was asked for
	return ctx, func() {
		t.mu.Lock()
		delete(t.held, r)
		t.mu.Unlock()
		cancel()
	}
}

// fromLoopback reports whether a request came over loopback; what it says about itself
// is not asked.
func fromLoopback(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// secretOf is the token of a request: a bearer's, or, as browsers ask a person for one,
// the password of whatever user.
func secretOf(r *http.Request) (string, bool) {
	if _, password, ok := r.BasicAuth(); ok {
		return password, true
	}
	scheme, rest, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(rest), ok && strings.EqualFold(scheme, "Bearer")
}

// challenge answers whoever has proved nothing.
func (t *Tokens) challenge(w http.ResponseWriter) {
	text := "this answers nobody from another machine but /healthz: come over loopback (ssh -L), or start the reconciler with --http-token-file"
	if t != nil && t.file != "" {
		text = "a token is needed: Authorization: Bearer TOKEN, or TOKEN as the password in a browser"
		w.Header().Add("WWW-Authenticate", `Bearer realm="dynctl"`)
		w.Header().Add("WWW-Authenticate", `Basic realm="dynctl", charset="UTF-8"`)
	}
	http.Error(w, text, http.StatusUnauthorized)
}

type roleKey struct{}

// Logs answers with h whoever may read logs.
func Logs(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if role, _ := r.Context().Value(roleKey{}).(Role); !role.readsLogs() {
			http.Error(w, fmt.Sprintf("logs need a token of the role %s or %s", ViewerLogs, Admin), http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}
