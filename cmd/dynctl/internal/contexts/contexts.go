package main

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

	"dynctl/state"
)

// connection is how to reach a store. A context is one with a name, kept in a file.
type connection struct {
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

	name string // of the context; empty without one
	// exposed: the file holds a secret, and others may read it.
	exposed bool
}

// contextKey is one key of a context file, with the name that the nats command line
// has for it.
type contextKey struct {
	name, alias string
	field       func(*connection) *string
	secret      bool
	file        bool
}

var contextKeys = []contextKey{
	{name: "natsUrl", alias: "url", field: func(c *connection) *string { return &c.NATSURL }},
	{name: "description", field: func(c *connection) *string { return &c.Description }},
	{name: "user", field: func(c *connection) *string { return &c.User }},
	{name: "password", field: func(c *connection) *string { return &c.Password }, secret: true},
	{name: "token", field: func(c *connection) *string { return &c.Token }, secret: true},
	{name: "credsFile", alias: "creds", field: func(c *connection) *string { return &c.CredsFile }, file: true},
	{name: "nkeyFile", alias: "nkey", field: func(c *connection) *string { return &c.NKeyFile }, file: true},
	{name: "certFile", alias: "cert", field: func(c *connection) *string { return &c.CertFile }, file: true},
	{name: "keyFile", alias: "key", field: func(c *connection) *string { return &c.KeyFile }, file: true},
	{name: "caFile", alias: "ca", field: func(c *connection) *string { return &c.CAFile }, file: true},
}

// natsOnly are the keys that the nats command line writes into each of its contexts
// and dynctl has no use for. They may stand there as long as they say nothing.
var natsOnly = []string{
	"nsc", "jetstream_domain", "jetstream_api_prefix", "jetstream_event_prefix", "inbox_prefix", "user_jwt",
	"user_seed", "color_scheme", "tls_first", "socks_proxy", "windows_cert_store", "windows_cert_match", "windows_cert_match_by", "windows_ca_certs_match",
}

func contextDir() string {
	dir, err := os.UserConfigDir()
	if err != nil {
		return filepath.Join("~", ".config", "dynctl")
	}
	return filepath.Join(dir, "dynctl")
}

// contextPath is where the context of a name is kept, selectionPath where the name
// of the selected one is.
func contextPath(name string) string { return filepath.Join(contextDir(), "contexts", name+".json") }

func selectionPath() string { return filepath.Join(contextDir(), "context.txt") }

// selectedContext is the context that `dynctl context select` remembered, or none.
func selectedContext() string {
	data, err := os.ReadFile(selectionPath())
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

var contextPattern = regexp.MustCompile(`^[A-Za-z0-9_][-_.A-Za-z0-9]*$`)

func checkContextName(name string) error {
	if !contextPattern.MatchString(name) {
		return usageErr("%q cannot name a context: want letters, digits, '-', '_' and '.'", name)
	}
	return nil
}

// contextNames are the contexts that there are, sorted.
func contextNames() []string {
	files, _ := filepath.Glob(contextPath("*")) // the pattern is ours
	for i, f := range files {
		files[i] = strings.TrimSuffix(filepath.Base(f), ".json")
	}
	return slices.Sorted(slices.Values(files))
}

// readContext reads the context of a name.
func readContext(name string) (connection, error) {
	if err := checkContextName(name); err != nil {
		return connection{}, err
	}
	path := contextPath(name)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		hint := ""
		if best := state.Nearest(name, contextNames()); best != "" {
			hint = "did you mean " + best + "? or "
		}
		return connection{}, usageErr("no context %q: %smake it with `dynctl context add %s --nats-url %s`", name, hint, name, defaultNATSURL)
	}
	if err != nil {
		return connection{}, usageErr("context %q: %w", name, err)
	}
	c, err := parseContext(data)
	if err != nil {
		return connection{}, usageErr("context %q: %s: %w", name, path, err)
	}
	c.name = name
	if info, err := os.Stat(path); err == nil {
		c.exposed = info.Mode().Perm()&0o077 != 0 && c.secret()
	}
	return c, nil
}

// secret says that a context holds what others should not read.
func (c connection) secret() bool {
	return c.Password != "" || c.Token != "" || strings.Contains(c.NATSURL, "@")
}

// parseContext reads a context file. A key that is misspelt would silently connect
// without what it says, so it is an error.
func parseContext(data []byte) (connection, error) {
	var c connection
	var args state.Args
	if err := json.Unmarshal(data, &args); err != nil {
		return c, fmt.Errorf("%w: correct the file, or remove it and make the context again with `dynctl context add`", describeJSON(data, err))
	}
	given := map[string]string{}
	for _, arg := range args {
		key, err := findContextKey(arg)
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
		if other := given[key.name]; other != "" {
			return c, fmt.Errorf("%s and %s say the same: keep one", other, arg.Key)
		}
		given[key.name] = arg.Key
		*key.field(&c) = key.value(*text)
	}
	return c, c.check()
}

// findContextKey is the key that an entry of a file sets; nil where it sets nothing.
func findContextKey(arg state.Arg) (*contextKey, error) {
	var known []string
	for i, k := range contextKeys {
		if arg.Key == k.name || k.alias != "" && arg.Key == k.alias {
			return &contextKeys[i], nil
		}
		known = append(known, k.name)
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
func (k contextKey) value(text string) string {
	if rest, ok := strings.CutPrefix(text, "~/"); ok && k.file {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, rest)
		}
	}
	return text
}

// check refuses a context that cannot work.
func (c connection) check() error {
	switch {
	case c.NATSURL == "":
		return fmt.Errorf("there is no natsUrl: add one, such as %q", defaultNATSURL)
	case c.Password != "" && c.User == "":
		return errors.New("there is a password and no user: add user")
	case (c.CertFile == "") != (c.KeyFile == ""):
		return errors.New("certFile and keyFile go together: add the other")
	}
	return checkScheme(c.NATSURL)
}

// checkFiles refuses a context that names a file that is not there.
func (c connection) checkFiles() error {
	for _, k := range contextKeys {
		path := *k.field(&c)
		if !k.file || path == "" {
			continue
		}
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
	}
	return nil
}

// writePrivate writes a file that only its owner may read, whole or not at all.
func writePrivate(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
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
