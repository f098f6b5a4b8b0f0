package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dynctl/cmd/dynctl/internal/contexts"
	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/cmd/dynctl/internal/prose"
	"dynctl/state/kv"
)

const contextLong = `Name connections, and remember which one is meant. A context is a file in the
directory dynctl/contexts below ~/.config (or $XDG_CONFIG_HOME); those of the nats
command line can be copied there as they are.

A command uses the first of these: --nats-url, --context, $DYNCTL_NATS_URL,
$DYNCTL_CONTEXT, the selected context, that of a reconciler on this machine (local),
` + contexts.DefaultURL + `.`

const contextExample = `  dynctl context add lab --nats-url nats://nats.example:4222 --select
  dynctl context ls
  dynctl --context lab status
  dynctl context select lab
  cp ~/.config/nats/context/lab.json ~/.config/dynctl/contexts/`

func (a *app) contextCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "context",
		Aliases: []string{"ctx", "contexts"},
		Short:   "Name connections and choose one",
		Long:    contextLong,
		Example: contextExample,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.contextAddCmd(), a.contextListCmd(), a.contextSelectCmd(), a.contextShowCmd(), a.contextRemoveCmd())
	return cmd
}

func (a *app) contextAddCmd() *cobra.Command {
	var c contexts.Connection
	cmd := &cobra.Command{
		Use:   "add NAME --nats-url URL",
		Short: "Make a context",
		Long: `Make a context, in a file that only you may read. A password or a token that is
"-" is read from standard input, so that it stands in no history of a shell.`,
		Example: "  dynctl context add lab --nats-url nats://nats.example:4222\n  dynctl context add prod --nats-url tls://nats.example \\\n    --user me --password - < secret",
		Args:    cobra.ExactArgs(1),
	}
	fs := cmd.Flags()
	for _, f := range []struct{ flag, key, usage string }{
		{"description", "description", "what it is for; shown by ls"},
		{"user", "user", "user name"},
		{"password", "password", "password of the user; -: from standard input"},
		{"token", "token", "token; -: from standard input"},
		{"creds", "credsFile", "NATS credentials file (JWT and seed)"},
		{"nkey", "nkeyFile", "file with the seed of an nkey"},
		{"cert", "certFile", "certificate of the client"},
		{"key", "keyFile", "key of the client's certificate"},
		{"ca", "caFile", "certificate authority of the server"},
	} {
		i := slices.IndexFunc(contexts.Keys, func(k contexts.Key) bool { return k.Name == f.key })
		fs.StringVar(contexts.Keys[i].Field(&c), f.flag, "", f.usage)
	}
	selected := fs.Bool("select", false, "use it from now on")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		name := args[0]
		if err := contexts.CheckName(name); err != nil {
			return err
		}
		if c.NATSURL = a.conn.natsURL; c.NATSURL == "" {
			return exit.Usagef("which NATS does %s mean? Add --nats-url, such as --nats-url %s", name, contexts.DefaultURL)
		}
		if slices.Contains(contexts.Names(), name) {
			return exit.Errorf(exit.Conflict, "context %s is there already: `dynctl context rm %s` first", name, name)
		}
		if err := a.readSecret(&c); err != nil {
			return err
		}
		if err := contexts.Add(name, c); err != nil {
			return err
		}
		fmt.Fprintf(a.out, "context %s added\n", name)
		if !*selected {
			return nil
		}
		return a.selectContext(name)
	}
	return cmd
}

// readSecret reads the password or the token that is "-" from standard input.
func (a *app) readSecret(c *contexts.Connection) error {
	if c.Password == "-" && c.Token == "-" {
		return exit.Usagef("--password - and --token - both read standard input: give one")
	}
	for _, secret := range []*string{&c.Password, &c.Token} {
		if *secret != "-" {
			continue
		}
		text, err := io.ReadAll(io.LimitReader(a.in, 1<<20))
		if err != nil {
			return exit.Usagef("read standard input: %w", err)
		}
		if *secret = strings.TrimRight(string(text), "\r\n"); *secret == "" {
			return exit.Usagef("standard input is empty: want a secret")
		}
	}
	return nil
}

func (a *app) contextListCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List the contexts; * marks the selected one",
		Example: "  dynctl context ls\n  dynctl context ls -o name",
		Args:    cobra.NoArgs,
	}
	out := outputFlag(cmd, formatTable, formatName)
	cmd.RunE = func(*cobra.Command, []string) error {
		names := contexts.Names()
		if out.value == formatName {
			for _, name := range names {
				fmt.Fprintln(a.out, name)
			}
			return nil
		}
		if len(names) == 0 {
			a.progress("no contexts (see `dynctl context add --help`)")
			return nil
		}
		var t table
		t.add("", "NAME", "NATS", "DESCRIPTION")
		for _, name := range names {
			mark := ""
			if name == contexts.Selected() {
				mark = "*"
			}
			c, err := contexts.Read(name)
			if err != nil {
				t.add(mark, name, a.style.bad("unreadable"), "see `dynctl context show "+name+"`")
				continue
			}
			t.add(mark, name, kv.Redact(c.NATSURL), c.Description)
		}
		t.write(a.out)
		return nil
	}
	return cmd
}

func (a *app) contextSelectCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:               "select NAME",
		Short:             "Use a context from now on",
		Example:           "  dynctl context select lab\n  dynctl context select --none",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeContexts,
	}
	none := cmd.Flags().Bool("none", false, "use none from now on")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		switch {
		case *none == (len(args) == 1):
			return exit.Usagef("want the name of a context, or --none: there is %s", prose.OrDash(strings.Join(contexts.Names(), ", ")))
		case *none:
			if err := contexts.SelectNone(); err != nil {
				return err
			}
			_, err := fmt.Fprintln(a.out, "no context is selected")
			return err
		}
		return a.selectContext(args[0])
	}
	return cmd
}

func (a *app) selectContext(name string) error {
	if err := contexts.Select(name); err != nil {
		return err
	}
	_, err := fmt.Fprintf(a.out, "context %s selected\n", name)
	for _, env := range []string{envNATSURL, envContext} {
		if os.Getenv(env) != "" {
			fmt.Fprintf(a.err, "note: $%s is set and wins over the selection\n", env)
		}
	}
	return err
}

func (a *app) contextShowCmd() *cobra.Command {
	return &cobra.Command{
		Use:               "show [NAME]",
		Short:             "Show a context (the selected one) without its secrets",
		Example:           "  dynctl context show lab",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeContexts,
		RunE: func(_ *cobra.Command, args []string) error {
			name := contexts.Selected()
			if len(args) == 1 {
				name = args[0]
			}
			if name == "" {
				return exit.NotFoundf("no context is selected: there is %s", prose.OrDash(strings.Join(contexts.Names(), ", ")))
			}
			c, err := contexts.Read(name)
			if err != nil {
				return err
			}
			var t table
			t.add("name", name)
			t.add("file", contexts.Path(name))
			for _, k := range contexts.Keys {
				switch value := *k.Field(&c); {
				case value == "":
				case k.Secret:
					t.add(k.Name, "xxxxx")
				case k.Name == "natsUrl":
					t.add(k.Name, kv.Redact(value))
				default:
					t.add(k.Name, value)
				}
			}
			t.write(a.out)
			return nil
		},
	}
}

func (a *app) contextRemoveCmd() *cobra.Command {
	return &cobra.Command{
		Use:               "rm NAME...",
		Aliases:           []string{"remove", "delete"},
		Short:             "Remove contexts",
		Example:           "  dynctl context rm lab",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completeContexts,
		RunE: func(_ *cobra.Command, args []string) error {
			for _, name := range args {
				if err := contexts.Remove(name); err != nil {
					return err
				}
				fmt.Fprintf(a.out, "context %s removed\n", name)
			}
			return nil
		},
	}
}

// completeContexts offers the names of contexts to the shell.
func completeContexts(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return contexts.Names(), cobra.ShellCompDirectiveNoFileComp
}
