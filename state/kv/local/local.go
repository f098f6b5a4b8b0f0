// Package local finds the credential that a reconciler on this machine has left for its
// user, as a context of dynctl: dynctl uses it, and so may any client that wants no
// password on its own machine. A context is one JSON file; docs/operations.md tells of it.
package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/nats-io/nats.go"
)

// Name is that of the context, unless another reconciler on this machine has it already:
// then the port follows it ("local-4323").
const Name = "local"

// description begins what such a context says of itself, so that it is known for one.
const description = "made by the reconciler of "

// Context is such a file.
type Context struct {
	NATSURL     string `json:"natsUrl"`
	Description string `json:"description"`
	NKeyFile    string `json:"nkeyFile"`
	CAFile      string `json:"caFile,omitempty"` // of the authorities of its certificate; empty: the system's
}

// Dir is where contexts are kept.
func Dir() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "dynctl", "contexts"), nil
}

// Write leaves a context for the reconciler of a data directory, and returns its name. A
// context of somebody's own stays as it is, and so does that of another reconciler, unless
// that is no more: its directory is gone, or this one listens where it did.
func Write(natsURL, dataDir, nkeyFile, caFile string) (name string, err error) {
	dir, err := Dir()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	defer lock(dir)()
	u, err := url.Parse(natsURL)
	if err != nil {
		return "", err
	}
	c := Context{NATSURL: natsURL, Description: description + dataDir, NKeyFile: nkeyFile, CAFile: caFile}
	names := []string{Name, Name + "-" + u.Port()}
	for _, name := range names {
		path := filepath.Join(dir, name+".json")
		if !mayBeWritten(path, c) {
			continue
		}
		if err := write(path, c); err != nil {
			return "", err
		}
		return name, nil
	}
	return "", fmt.Errorf("%s are contexts of others in %s: make one with `dynctl context add NAME --nats-url %s --nkey %s`",
		strings.Join(names, " and "), dir, natsURL, nkeyFile)
}

// LeaveAuthorities leaves the file of the authorities beside the credentials in a data
// directory, for who has no context; empty: takes away what was left.
func LeaveAuthorities(dataDir, caFile string) error {
	link := authoritiesIn(dataDir)
	if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if caFile == "" {
		return nil
	}
	return os.Symlink(caFile, link)
}

// Authorities is the file that LeaveAuthorities has left; empty: none.
func Authorities(dataDir string) string {
	link := authoritiesIn(dataDir)
	if _, err := os.Lstat(link); err != nil {
		return ""
	}
	return link
}

func authoritiesIn(dataDir string) string { return filepath.Join(dataDir, "creds", "ca.crt") }

// lock keeps apart reconcilers that start at the same time, which could otherwise take
// the same name. Where the file system knows no locks it does without.
func lock(dir string) (unlock func()) {
	f, err := os.Open(dir)
	if err != nil {
		return func() {}
	}
	_ = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
	return func() { _ = f.Close() } // which unlocks it
}

// mayBeWritten reports whether a context's file is free, our own, or one of a reconciler
// that is no more.
func mayBeWritten(path string, c Context) bool {
	data, err := os.ReadFile(path)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	var there Context
	if json.Unmarshal(data, &there) != nil || !strings.HasPrefix(there.Description, description) {
		return false
	}
	return there.NKeyFile == c.NKeyFile || gone(there.NKeyFile) || same(c.NATSURL, there.NATSURL)
}

// gone reports whether a file is not there; one that cannot be looked at may be.
func gone(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

func write(path string, c Context) error {
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	return WritePrivate(path, append(data, '\n'))
}

// WritePrivate writes a file that only its owner may read, whole or not at all. Its
// directory has to be there.
func WritePrivate(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// Find is the context that a reconciler on this machine has left for a NATS URL; without a
// URL the one that is named local, or else the only one.
func Find(natsURL string) (name string, c Context, ok bool) {
	dir, err := Dir()
	if err != nil {
		return "", c, false
	}
	paths, _ := filepath.Glob(filepath.Join(dir, Name+"*.json")) // the pattern is ours
	for _, path := range paths {                                 // local.json comes last: '-' before '.'
		var there Context
		data, err := os.ReadFile(path)
		if err != nil || json.Unmarshal(data, &there) != nil || !strings.HasPrefix(there.Description, description) || gone(there.NKeyFile) {
			continue
		}
		if natsURL == "" || same(natsURL, there.NATSURL) {
			name, c, ok = strings.TrimSuffix(filepath.Base(path), ".json"), there, true
		}
	}
	return name, c, ok
}

// same reports whether two URLs name the same address, and the first no user.
func same(a, b string) bool {
	parse := func(s string) (string, bool) {
		if !strings.Contains(s, "://") { // as NATS takes it, too
			s = "nats://" + s
		}
		u, err := url.Parse(s)
		if err != nil || u.User != nil {
			return "", false
		}
		host := u.Hostname()
		if host == "localhost" {
			host = "127.0.0.1"
		}
		port := u.Port()
		if port == "" {
			port = "4222"
		}
		return host + ":" + port, true
	}
	x, okX := parse(a)
	y, okY := parse(b)
	return okX && okY && x == y
}

// Options log in to a NATS with what a reconciler on this machine has left for it; none
// where there is nothing. They are for [nats.Connect] and kv.Connect.
func Options(natsURL string) []nats.Option {
	_, c, ok := Find(natsURL)
	if !ok {
		return nil
	}
	opts := []nats.Option{func(o *nats.Options) error {
		login, err := nats.NkeyOptionFromSeed(c.NKeyFile)
		if err != nil {
			return fmt.Errorf("%s: %w", c.NKeyFile, err)
		}
		return login(o)
	}}
	if c.CAFile != "" {
		opts = append(opts, nats.RootCAs(c.CAFile))
	}
	return opts
}
