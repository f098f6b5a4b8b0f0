package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/pflag"

	"dynctl/state"
	"dynctl/state/kv"
)

const (
	defaultNATSURL = "nats://127.0.0.1:4322"
	envNATSURL     = "DYNCTL_NATS_URL"
	envContext     = "DYNCTL_CONTEXT"
	dialTimeout    = 5 * time.Second
)

// connFlags say which store to talk to and which server's models are meant.
type connFlags struct {
	natsURL string
	context string
	server  string
}

func (c *connFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(&c.natsURL, "nats-url", "", "NATS that holds the specs (default $"+envNATSURL+", else "+defaultNATSURL+")")
	fs.StringVar(&c.context, "context", "", "named connection, see dynctl context (default $"+envContext+", else the selected one)")
	fs.StringVarP(&c.server, "server", "s", "", "the server that a model belongs to (default: whichever has it)")
}

// resolve finds the connection: a flag before the environment, a URL before a
// context, and the selected context before the default.
func (c *connFlags) resolve() (connection, error) {
	name, url, from := c.context, c.natsURL, "--nats-url"
	if url != "" && name != "" {
		return connection{}, usageErr("--nats-url and --context both name a connection: give one")
	}
	if url == "" && name == "" {
		url, from = os.Getenv(envNATSURL), "$"+envNATSURL
	}
	if url == "" && name == "" {
		name = cmp.Or(os.Getenv(envContext), selectedContext())
	}
	if name == "" {
		url = cmp.Or(url, defaultNATSURL)
		if err := checkScheme(url); err != nil {
			return connection{}, usageErr("%s: %w", from, err)
		}
		return connection{NATSURL: url}, nil
	}
	conn, err := readContext(name)
	if err != nil {
		return conn, err
	}
	if err := conn.checkFiles(); err != nil {
		return conn, usageErr("context %q: %s: %w", name, contextPath(name), err)
	}
	return conn, nil
}

// portsOfOthers are what people take for NATS.
var portsOfOthers = map[string]string{
	":8265": "Ray's dashboard", ":9600": "the reconciler's own page", ":8000": "Dynamo's frontend", ":2379": "etcd", ":6379": "Ray itself",
}

// checkScheme refuses a URL of something else than NATS, which would only be silent.
func checkScheme(natsURL string) error {
	for one := range strings.SplitSeq(natsURL, ",") {
		scheme, rest, ok := strings.Cut(strings.TrimSpace(one), "://")
		if !ok || slices.Contains([]string{"nats", "tls", "ws", "wss"}, scheme) {
			continue
		}
		looks := ""
		host, _, _ := strings.Cut(rest, "/")
		for port, what := range portsOfOthers {
			if strings.HasSuffix(host, port) {
				looks = ", and this looks like " + what
			}
		}
		return fmt.Errorf("%s: the scheme %s:// is wrong for NATS%s; want nats://HOST:PORT, such as %s", redacted(one), scheme, looks, defaultNATSURL)
	}
	return nil
}

func (c connection) options() []nats.Option {
	opts := []nats.Option{nats.Name("dynctl"), nats.Timeout(dialTimeout)}
	if c.User != "" {
		opts = append(opts, nats.UserInfo(c.User, c.Password))
	}
	if c.Token != "" {
		opts = append(opts, nats.Token(c.Token))
	}
	if c.CredsFile != "" {
		opts = append(opts, nats.UserCredentials(c.CredsFile))
	}
	if c.CertFile != "" {
		opts = append(opts, nats.ClientCert(c.CertFile, c.KeyFile))
	}
	if c.CAFile != "" {
		opts = append(opts, nats.RootCAs(c.CAFile))
	}
	if c.NKeyFile != "" {
		opts = append(opts, func(o *nats.Options) error {
			option, err := nats.NkeyOptionFromSeed(c.NKeyFile)
			if err != nil {
				return err
			}
			return option(o)
		})
	}
	return opts
}

// redacted is a NATS URL without its secrets.
func redacted(natsURL string) string { return kv.Redact(natsURL) }

// connect dials the store. The caller closes the client.
func (a *app) connect(ctx context.Context) (*kv.Client, error) {
	conn, err := a.conn.resolve()
	if err != nil {
		return nil, err
	}
	if conn.exposed {
		fmt.Fprintf(a.err, "note: %s holds a secret and others may read it: chmod 600 %s\n", contextPath(conn.name), contextPath(conn.name))
	}
	dial, cancel := context.WithTimeout(ctx, 2*dialTimeout)
	defer cancel()
	client, err := kv.Connect(dial, conn.NATSURL, conn.options()...)
	if err == nil {
		client.OnUnreadable(a.leftOut())
		return client, nil
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	from := ""
	if conn.name != "" {
		from = " (context " + conn.name + ")"
	}
	return nil, fail(exitUnreachable, "cannot reach NATS at %s%s: %w; is the reconciler running? (start it with `make up`, or set %s)",
		redacted(conn.NATSURL), from, cause(err), envNATSURL)
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

// stored gives an error of the store or the stream its exit code; the text says
// already what was being done.
func stored(err error) error {
	var e *exitError
	switch {
	case err == nil || errors.As(err, &e) || errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, kv.ErrNotFound):
		return fail(exitNotFound, "%w", err)
	case errors.Is(err, kv.ErrConflict):
		return fail(exitConflict, "%w", err)
	case errors.Is(err, kv.ErrInvalid):
		return fail(exitUsage, "%w", err)
	}
	return fail(exitUnreachable, "%w", err)
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
