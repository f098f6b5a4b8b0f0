package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/nats-io/nkeys"
	"github.com/spf13/cobra"

	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/cmd/dynctl/internal/prose"
	"dynctl/state"
	"dynctl/state/kv"
	"dynctl/state/roles"
)

const credsLong = `Say who may log in to the store, and as what. The roles:

  admin       writes specs, reads everything, may do all that dynctl does
  publisher   writes the specs of the servers named with --server, and reads
              their specs and statuses
  viewer      reads: no logs, and no values of environments
  reconciler  another reconciler on this store
  agent       an agent of such a one

The users are kept by the reconciler that has the NATS embedded. A NATS of your own
has its users in its configuration: see dynctl creds template.`

const credsExample = `  dynctl creds add publisher --server chat --out ci.nk
  dynctl context add ci --nats-url nats://store.example:4322 --nkey ci.nk
  dynctl creds add viewer --name wallboard --password --out wallboard.url
  dynctl creds ls
  dynctl creds rm wallboard
  dynctl creds template --server chat > accounts.conf`

func (a *app) credsCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "creds",
		Short:   "Say who may log in to the store",
		Long:    credsLong,
		Example: credsExample,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().StringVar(&a.conn.dataDir, "data-dir", "", "that of a reconciler on this machine: log in as its admin, where there is no context (as in its container)")
	cmd.AddCommand(a.credsAddCmd(), a.credsListCmd(), a.credsRemoveCmd(), a.credsTemplateCmd())
	return cmd
}

func (a *app) credsAddCmd() *cobra.Command {
	var name, out string
	var password bool
	cmd := &cobra.Command{
		Use:   "add ROLE --out FILE",
		Short: "Let one more in",
		Long: `Make a credential and let its owner in, at once. FILE, which only you may read,
gets the seed of an nkey, or with --password the URL of the store with a user and a
password in it, for clients that cannot sign. The seed never leaves this machine. A
publisher is bound to the servers that --server names (a,b: several).`,
		Example: "  dynctl creds add publisher --server chat --out ci.nk\n  dynctl creds add viewer --password --out wallboard.url",
		Args:    cobra.ExactArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var all []string
			for _, r := range roles.All {
				all = append(all, string(r))
			}
			return all, cobra.ShellCompDirectiveNoFileComp
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "name of the user (default: the role, with the servers)")
	cmd.Flags().StringVar(&out, "out", "", "file for the credential, which must not exist; -: standard output")
	cmd.Flags().BoolVar(&password, "password", false, "make a user with a password instead of an nkey")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		u := userOf(roles.Role(args[0]), name, a.conn.server)
		if err := u.Check(state.ValidServerName); err != nil {
			return exit.Usagef("%w", err)
		}
		if out == "" {
			return exit.Usagef("where shall the credential go? Add --out, such as --out %s.nk", u.Name)
		}
		return a.addCreds(cmd.Context(), u, out, password)
	}
	return cmd
}

// userOf is a user with a name that tells what it is for, unless one is given.
func userOf(role roles.Role, name, servers string) roles.User {
	u := roles.User{Role: role}
	if servers != "" {
		u.Servers = slices.Compact(slices.Sorted(slices.Values(strings.Split(servers, ","))))
	}
	u.Name = cmp.Or(name, strings.Join(append([]string{string(role)}, u.Servers...), "-"))
	return u
}

func (a *app) addCreds(ctx context.Context, u roles.User, out string, password bool) error {
	c, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	secret, err := makeSecret(&u, c, password)
	if err != nil {
		return err
	}
	if out == "-" {
		if err := c.AddCreds(ctx, u); err != nil {
			return credsError(err)
		}
		_, err := fmt.Fprintln(a.out, secret)
		return err
	}
	// The file comes first: a user whose secret is lost could only be removed again.
	f, err := os.OpenFile(out, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return exit.Usagef("--out: %w", err)
	}
	_, err = io.WriteString(f, secret+"\n")
	if err = errors.Join(err, f.Close()); err == nil {
		err = c.AddCreds(ctx, u)
	}
	if err != nil {
		return errors.Join(credsError(err), os.Remove(out))
	}
	fmt.Fprintf(a.out, "%s may log in as %s%s; its credential is in %s\n", u.Name, u.Role, ofServers(u.Servers), out)
	return nil
}

// makeSecret gives a user the public part of a credential, and returns the secret one.
func makeSecret(u *roles.User, c *kv.Client, password bool) (string, error) {
	if password {
		u.Password = rand.Text()
		at, err := url.Parse(c.JetStream().Conn().ConnectedUrl())
		if err != nil {
			return "", fmt.Errorf("URL of the store: %w", err)
		}
		if c.JetStream().Conn().TLSRequired() {
			at.Scheme = "tls" // nats:// would go on without, where whoever answers wants that
		}
		at.User = url.UserPassword(u.Name, u.Password)
		return at.String(), nil
	}
	key, err := nkeys.CreateUser()
	if err != nil {
		return "", fmt.Errorf("make an nkey: %w", err)
	}
	defer key.Wipe()
	seed, err := key.Seed()
	if err != nil {
		return "", fmt.Errorf("make an nkey: %w", err)
	}
	u.NKey, err = key.PublicKey()
	return string(seed), err
}

// credsError is what a reconciler has against a request, as an exit.
func credsError(err error) error {
	switch {
	case errors.Is(err, kv.ErrRefused), errors.Is(err, kv.ErrNoCreds):
		return exit.Usagef("%w", err)
	case errors.Is(err, kv.ErrNotFound):
		return exit.NotFoundf("%w", err)
	}
	return exit.Stored(err)
}

func ofServers(servers []string) string {
	if len(servers) == 0 {
		return ""
	}
	return " of " + prose.List(servers)
}

func (a *app) credsListCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List who may log in",
		Example: "  dynctl creds ls\n  dynctl creds ls -o name",
		Args:    cobra.NoArgs,
	}
	out := outputFlag(cmd, formatTable, formatName)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.connect(cmd.Context())
		if err != nil {
			return err
		}
		defer c.Close()
		users, err := c.Creds(cmd.Context())
		if err != nil {
			return credsError(err)
		}
		if out.value == formatName {
			for _, u := range users {
				fmt.Fprintln(a.out, u.Name)
			}
			return nil
		}
		var t table
		t.add("NAME", "ROLE", "SERVERS", "WITH", "SINCE")
		for _, u := range users {
			with := "nkey " + prose.OrDash(u.NKey)
			if u.NKey == "" {
				with = "password"
			}
			t.add(u.Name, string(u.Role), prose.OrDash(prose.List(u.Servers)), with, prose.Age(a.now(), u.Created))
		}
		t.write(a.out)
		return nil
	}
	return cmd
}

func (a *app) credsRemoveCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "rm NAME...",
		Aliases: []string{"remove", "delete"},
		Short:   "Let somebody in no more",
		Example: "  dynctl creds rm wallboard",
		Long:    "Let somebody in no more. Who is connected with the credential is disconnected at once.",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer c.Close()
			for _, name := range args {
				if err := c.RemoveCreds(cmd.Context(), name); err != nil {
					return credsError(err)
				}
				fmt.Fprintf(a.out, "%s may log in no more\n", name)
			}
			return nil
		},
	}
}

func (a *app) credsTemplateCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "template",
		Short: "Print the accounts and permissions for a NATS of your own",
		Long: `Print a piece of configuration for a nats-server of your own, with the accounts and
permissions that the roles need: one user of each, and a publisher for the servers that
--server names. Passwords come from that server's environment; put an nkey in their place
where you prefer one. Add the users that you want, and include the file in its
configuration.`,
		Example: "  dynctl creds template --server chat > accounts.conf",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			users := templateUsers(cmp.Or(a.conn.server, state.DefaultServer))
			for _, u := range users {
				if err := u.Check(state.ValidServerName); err != nil {
					return exit.Usagef("%w", err)
				}
				fmt.Fprintf(a.out, "# $%s: the password of %s\n", roles.PasswordVariable(u.Name), u.Name)
			}
			fmt.Fprintln(a.out, "# The reconciler: --nats-url nats://reconciler:PASSWORD@HOST:4222 (--nats-url-file),\n# --advertise-nats-url nats://agent-ray:PASSWORD@HOST:4222")
			fmt.Fprint(a.out, roles.Template(users))
			return nil
		},
	}
}

// templateUsers are one of each role.
func templateUsers(servers string) []roles.User {
	return []roles.User{
		userOf(roles.Admin, "", ""), userOf(roles.Reconciler, "", ""), userOf(roles.Agent, "agent-ray", ""),
		userOf(roles.Publisher, "publisher", servers), userOf(roles.Viewer, "", ""),
	}
}
