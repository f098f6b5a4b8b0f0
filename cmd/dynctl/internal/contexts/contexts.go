// Package contexts keeps the connections that a person has given names, and remembers
// which one is meant.
package contexts

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/cmd/dynctl/internal/prose"
	"dynctl/state"
	"dynctl/state/kv/local"
)

// DefaultURL is where the NATS of a reconciler on this machine listens.
const DefaultURL = "nats://127.0.0.1:4322"

// Connection is how to reach a store. A context is one with a name, kept in a file.
type Connection struct {
	NATSURL     string `json:"natsUrl"`
	Description string `json:"description,omitempty"`
	User        string `json:"user,omitempty"`
	Password    string `json:"password,omitempty"`
	Token       string `json:"token,omitempty"`
	// CredsFile is a NATS credentials file (JWT and seed), NKeyFile one with the
	// seed of an nkey.
	CredsFile string `json:"credsFile,omitempty"`
	NKeyFile  string `json:"nkeyFile,omitempty"`
	// CertFile and KeyFile are the client's certificate, CAFile the authority of the
	// server's.
	CertFile string `json:"certFile,omitempty"`
	KeyFile  string `json:"keyFile,omitempty"`
	CAFile   string `json:"caFile,omitempty"`

	Name string `json:"-"` // of the context; empty without one
	// Exposed: the file holds a secret, and others may read it.
	Exposed bool `json:"-"`
}

// LogsIn reports whether the connection says who one is, apart from its URL.
func (c Connection) LogsIn() bool {
	return c.User != "" || c.Token != "" || c.CredsFile != "" || c.NKeyFile != "" || c.CertFile != ""
}

// Key is one key of a context file.
type Key struct {
	Name   string
	Secret bool // not to be shown
	// Field is where a connection keeps the value; empty: the key is not set.
	Field func(*Connection) *string

	alias string // the name that the nats command line has for it
	file  bool
}

// Keys are those that a context may have, in the order in which they are shown.
var Keys = []Key{
	{Name: "natsUrl", alias: "url", Field: func(c *Connection) *string { return &c.NATSURL }},
	{Name: "description", Field: func(c *Connection) *string { return &c.Description }},
	{Name: "user", Field: func(c *Connection) *string { return &c.User }},
	{Name: "password", Field: func(c *Connection) *string { return &c.Password }, Secret: true},
	{Name: "token", Field: func(c *Connection) *string { return &c.Token }, Secret: true},
	{Name: "credsFile", alias: "creds", Field: func(c *Connection) *string { return &c.CredsFile }, file: true},
	{Name: "nkeyFile", alias: "nkey", Field: func(c *Connection) *string { return &c.NKeyFile }, file: true},
	{Name: "certFile", alias: "cert", Field: func(c *Connection) *string { return &c.CertFile }, file: true},
	{Name: "keyFile", alias: "key", Field: func(c *Connection) *string { return &c.KeyFile }, file: true},
	{Name: "caFile", alias: "ca", Field: func(c *Connection) *string { return &c.CAFile }, file: true},
}

// natsOnly are the keys that the nats command line writes into each of its contexts
// and dynctl has no use for. They may stand there as long as they say nothing.
var natsOnly = []string{
	"nsc", "jetstream_domain", "jetstream_api_prefix", "jetstream_event_prefix", "inbox_prefix", "user_jwt",
	"user_seed", "color_scheme", "tls_first", "socks_proxy", "windows_cert_store", "windows_cert_match", "windows_cert_match_by", "windows_ca_certs_match",
}

func dir() string {
	dir, err := os.UserConfigDir()
	if err != nil {
		return filepath.Join("~", ".config", "dynctl")
	}
	return filepath.Join(dir, "dynctl")
}

// Path is where the context of a name is kept.
func Path(name string) string { return filepath.Join(dir(), "contexts", name+".json") }

// selectionPath is where the name of the selected context is kept.
func selectionPath() string { return filepath.Join(dir(), "context.txt") }

// Selected is the name of the context that `dynctl context select` remembered; empty:
// none.
func Selected() string {
	data, err := os.ReadFile(selectionPath())
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

var namePattern = regexp.MustCompile(`^[A-Za-z0-9_][-_.A-Za-z0-9]*$`)

// CheckName refuses what cannot name a context.
func CheckName(name string) error {
	if !namePattern.MatchString(name) {
		return exit.Usagef("%q cannot name a context: want letters, digits, '-', '_' and '.'", name)
	}
	return nil
}

// Names are the contexts that there are, sorted.
func Names() []string {
	files, _ := filepath.Glob(Path("*")) // the pattern is ours
	for i, f := range files {
		files[i] = strings.TrimSuffix(filepath.Base(f), ".json")
	}
	return slices.Sorted(slices.Values(files))
}

// Read reads the context of a name.
func Read(name string) (Connection, error) {
	if err := CheckName(name); err != nil {
		return Connection{}, err
	}
	path := Path(name)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		hint := ""
		if best := state.Nearest(name, Names()); best != "" {
			hint = "did you mean " + best + "? or "
		}
		return Connection{}, exit.Usagef("no context %q: %smake it with `dynctl context add %s --nats-url %s`", name, hint, name, DefaultURL)
	}
	if err != nil {
		return Connection{}, exit.Usagef("context %q: %w", name, err)
	}
	c, err := parse(data)
	if err != nil {
		return Connection{}, exit.Usagef("context %q: %s: %w", name, path, err)
	}
	c.Name = name
	if info, err := os.Stat(path); err == nil {
		c.Exposed = info.Mode().Perm()&0o077 != 0 && c.secret()
	}
	return c, nil
}

// secret reports whether a context holds what others should not read.
func (c Connection) secret() bool {
	return c.Password != "" || c.Token != "" || strings.Contains(c.NATSURL, "@")
}

// parse reads a context file. A key that is misspelt would silently connect
// without what it says, so it is an error.
func parse(data []byte) (Connection, error) {
	var c Connection
	var args state.Args
	if err := json.Unmarshal(data, &args); err != nil {
		return c, fmt.Errorf("%w: correct the file, or remove it and make the context again with `dynctl context add`", prose.JSONError(data, err))
	}
	given := map[string]string{}
	for _, arg := range args {
		key, err := findKey(arg)
		if err != nil {
			return c, err
		}
		if key == nil {
			continue
		}
		var text *string
		if err := json.Unmarshal(arg.Value, &text); err != nil {
			return c, fmt.Errorf("%s: want text, got %s", arg.Key, arg.Value)
		}
		if text == nil || *text == "" {
			continue
		}
		if other := given[key.Name]; other != "" {
			return c, fmt.Errorf("%s and %s say the same: keep one", other, arg.Key)
		}
		given[key.Name] = arg.Key
		*key.Field(&c) = key.value(*text)
	}
	return c, c.check()
}

// findKey is the key that an entry of a file sets; nil where it sets nothing.
func findKey(arg state.Arg) (*Key, error) {
	var known []string
	for i, k := range Keys {
		if arg.Key == k.Name || k.alias != "" && arg.Key == k.alias {
			return &Keys[i], nil
		}
		known = append(known, k.Name)
		if k.alias != "" {
			known = append(known, k.alias)
		}
	}
	if slices.Contains(natsOnly, arg.Key) {
		if slices.Contains([]string{`""`, "null", "false", "[]", "0"}, string(arg.Value)) {
			return nil, nil
		}
		return nil, fmt.Errorf("%s is a setting of the nats command line that dynctl does not have: remove it", arg.Key)
	}
	if best := state.Nearest(arg.Key, known); best != "" {
		return nil, fmt.Errorf("unknown key %q: did you mean %s?", arg.Key, best)
	}
	return nil, fmt.Errorf("unknown key %q: known are %s", arg.Key, strings.Join(known, ", "))
}

// value is what a key is set to; files may stand below the home directory.
func (k Key) value(text string) string {
	if rest, ok := strings.CutPrefix(text, "~/"); ok && k.file {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, rest)
		}
	}
	return text
}

// check refuses a context that cannot work.
func (c Connection) check() error {
	switch {
	case c.NATSURL == "":
		return fmt.Errorf("there is no natsUrl: add one, such as %q", DefaultURL)
	case c.Password != "" && c.User == "":
		return errors.New("there is a password and no user: add user")
	case (c.CertFile == "") != (c.KeyFile == ""):
		return errors.New("certFile and keyFile go together: add the other")
	}
	return CheckScheme(c.NATSURL)
}

// CheckFiles refuses a context that names a file that is not there.
func (c Connection) CheckFiles() error {
	for _, k := range Keys {
		path := *k.Field(&c)
		if !k.file || path == "" {
			continue
		}
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("%s: %w", k.Name, err)
		}
	}
	return nil
}

// Add keeps a connection under a name, in a file that only its owner may read. Files may
// be named below the home directory; they have to be there.
func Add(name string, c Connection) error {
	if err := CheckName(name); err != nil {
		return err
	}
	for _, k := range Keys {
		*k.Field(&c) = k.value(*k.Field(&c))
	}
	if err := errors.Join(c.check(), c.CheckFiles()); err != nil {
		return exit.Usagef("%w", err)
	}
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("encode context: %w", err)
	}
	if err := writePrivate(Path(name), append(data, '\n')); err != nil {
		return exit.Errorf(exit.Unreachable, "context %s: %w", name, err)
	}
	return nil
}

// Select remembers a context as the one that is meant. It has to be one that can be read.
func Select(name string) error {
	if _, err := Read(name); err != nil {
		return err
	}
	if err := writePrivate(selectionPath(), []byte(name+"\n")); err != nil {
		return exit.Errorf(exit.Unreachable, "%w", err)
	}
	return nil
}

// SelectNone forgets which context is meant.
func SelectNone() error {
	if err := os.Remove(selectionPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return exit.Usagef("%w", err)
	}
	return nil
}

// Remove removes a context, and forgets that it is meant. [exit.NotFound] where there is
// none of the name.
func Remove(name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	err := os.Remove(Path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return exit.NotFoundf("no context %q: there is %s", name, prose.OrDash(prose.List(Names())))
	}
	if err != nil {
		return exit.Usagef("%w", err)
	}
	if Selected() == name {
		return SelectNone()
	}
	return nil
}

// writePrivate writes a file that only its owner may read, below directories of the same kind.
// Without a home there is no place for it, and least of all where one happens to be.
func writePrivate(path string, data []byte) error {
	if _, err := os.UserConfigDir(); err != nil {
		return fmt.Errorf("there is no place to keep it: %w; set HOME, or XDG_CONFIG_HOME to an absolute path", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return local.WritePrivate(path, data)
}
