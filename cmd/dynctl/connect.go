package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/spf13/pflag"

	"dynctl/cmd/dynctl/internal/contexts"
	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/state"
	"dynctl/state/kv"
	"dynctl/state/kv/local"
)

const (
	envNATSURL = "DYNCTL_NATS_URL"
	envContext = "DYNCTL_CONTEXT"
)

// connFlags say which store to talk to and which server's models are meant.
type connFlags struct {
	natsURL string
	context string
	server  string
	// dataDir of a reconciler on this machine, whose admin is meant; of creds alone.
	dataDir string
}

func (c *connFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(&c.natsURL, "nats-url", "", "NATS that holds the specs (default $"+envNATSURL+", else "+contexts.DefaultURL+")")
	fs.StringVar(&c.context, "context", "", "named connection, see dynctl context (default $"+envContext+", else the selected one)")
	fs.StringVarP(&c.server, "server", "s", "", "the server that a model belongs to (default: whichever has it)")
}

// resolve finds the connection: a flag before the environment, a URL before a
// context, and the selected context before the default.
func (c *connFlags) resolve() (contexts.Connection, error) {
	name, url, from := c.context, c.natsURL, "--nats-url"
	if url != "" && name != "" {
		return contexts.Connection{}, exit.Usagef("--nats-url and --context both name a connection: give one")
	}
	if url == "" && name == "" {
		url, from = os.Getenv(envNATSURL), "$"+envNATSURL
	}
	if url == "" && name == "" {
		name = cmp.Or(os.Getenv(envContext), contexts.Selected())
	}
	if name == "" {
		if url != "" {
			if err := contexts.CheckScheme(url); err != nil {
				return contexts.Connection{}, exit.Usagef("%s: %w", from, err)
			}
		}
		return c.onThisMachine(url), nil
	}
	conn, err := contexts.Read(name)
	if err != nil {
		return conn, err
	}
	if err := conn.CheckFiles(); err != nil {
		return conn, exit.Usagef("context %q: %s: %w", name, contexts.Path(name), err)
	}
	if !conn.LogsIn() {
		left := c.onThisMachine(conn.NATSURL)
		conn.NKeyFile, conn.CAFile = left.NKeyFile, cmp.Or(conn.CAFile, left.CAFile)
	}
	return conn, nil
}

// onThisMachine is the connection to a URL, or to the reconciler of this machine, with the
// credential that it has left here for its user.
func (c *connFlags) onThisMachine(url string) contexts.Connection {
	if c.dataDir != "" {
		return contexts.Connection{NATSURL: cmp.Or(url, contexts.DefaultURL), NKeyFile: filepath.Join(c.dataDir, "creds", "admin.nk"), CAFile: local.Authorities(c.dataDir)}
	}
	name, left, ok := local.Find(cmp.Or(url, contexts.DefaultURL))
	if !ok && url == "" {
		name, left, ok = local.Find("")
	}
	if !ok {
		return contexts.Connection{NATSURL: cmp.Or(url, contexts.DefaultURL)}
	}
	return contexts.Connection{Name: name, NATSURL: cmp.Or(url, left.NATSURL), NKeyFile: left.NKeyFile, CAFile: left.CAFile}
}

// redacted is a NATS URL without its secrets.
func redacted(natsURL string) string { return kv.Redact(natsURL) }

// connect dials the store. The caller closes the client.
func (a *app) connect(ctx context.Context) (*kv.Client, error) {
	conn, err := a.conn.resolve()
	if err != nil {
		return nil, err
	}
	if conn.Exposed {
		fmt.Fprintf(a.err, "note: %s holds a secret and others may read it: chmod 600 %s\n", contexts.Path(conn.Name), contexts.Path(conn.Name))
	}
	dial, cancel := context.WithTimeout(ctx, 2*contexts.DialTimeout)
	defer cancel()
	client, err := kv.Connect(dial, conn.NATSURL, conn.Options()...)
	if err == nil {
		a.store = place(conn)
		client.OnUnreadable(a.leftOut())
		return client, nil
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if kv.Untrusted(err) {
		return nil, exit.Errorf(exit.Unreachable, "NATS at %s: %w; %s", place(conn), cause(err), notTrusted(conn, err))
	}
	if errors.Is(err, nats.ErrAuthorization) {
		return nil, exit.Errorf(exit.Unreachable, "NATS at %s: %w; %s", place(conn), cause(err), notLetIn(conn))
	}
	return nil, exit.Errorf(exit.Unreachable, "cannot reach NATS at %s: %w; is the reconciler running? (start it with `make up`, or set %s)",
		place(conn), cause(err), envNATSURL)
}

// notTrusted is what to do about a store that did not prove what it is.
func notTrusted(conn contexts.Connection, err error) string {
	if errors.Is(err, nats.ErrSecureConnWanted) {
		return "it does not speak TLS: whoever answers there is not the one that was meant, or it was started without --tls-cert"
	}
	if _, named := errors.AsType[x509.HostnameError](err); named {
		return "dial it under a name that its certificate has, or have one issued for this name"
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return "its certificate has ended, or a clock is wrong: renew the files of the reconciler's --tls-cert and --tls-key"
	}
	if conn.CAFile != "" {
		return conn.CAFile + " does not hold the authority of its certificate: put the file of the reconciler's --tls-ca there"
	}
	return "name the authority of its certificate: dynctl context add NAME --nats-url " + redacted(conn.NATSURL) + " --ca FILE"
}

// notLetIn is what to do about a store that did not let somebody in.
func notLetIn(conn contexts.Connection) string {
	if !conn.LogsIn() && !strings.Contains(conn.NATSURL, "@") {
		return "nobody is let in without a credential: " + kv.WayIn
	}
	return "this credential is not one of this store, or no more: " + kv.WayIn
}

// maxLeftOut bounds how many values are named that could not be read.
const maxLeftOut = 10

// leftOut warns of each value that cannot be read and is left out of what is shown,
// once.
func (a *app) leftOut() func(kv.Unreadable) {
	var mu sync.Mutex
	said := map[string]bool{}
	return func(u kv.Unreadable) {
		mu.Lock()
		defer mu.Unlock()
		key := u.Bucket + " " + u.Key
		if said[key] {
			return
		}
		said[key] = true
		switch n := len(said); {
		case n <= maxLeftOut:
			fmt.Fprintf(a.err, "warning: left out: %s (see `dynctl doctor`)\n", u)
		case n == maxLeftOut+1:
			fmt.Fprintln(a.err, "warning: more values are left out: `dynctl doctor` names them")
		}
	}
}

// cause is the last of the errors that a failed connection wraps: what the network
// said.
func cause(err error) error {
	for {
		switch x := err.(type) { //nolint:errorlint // it follows the wrapping itself
		case interface{ Unwrap() []error }:
			all := x.Unwrap()
			err = all[len(all)-1]
		case interface{ Unwrap() error }:
			if x.Unwrap() == nil {
				return err
			}
			err = x.Unwrap()
		default:
			return err
		}
	}
}

// serverName is the server that --server names, or the default one.
func (a *app) serverName() string {
	if a.conn.server != "" {
		return a.conn.server
	}
	return state.DefaultServer
}

// author signs what is written: who, and where.
func author() string {
	name := os.Getenv("USER")
	if u, err := user.Current(); err == nil && name == "" {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		return name
	}
	return name + "@" + host
}
