package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

const contextLong = `Name connections, and remember which one is meant. A context is a file in the
directory dynctl/contexts below ~/.config (or $XDG_CONFIG_HOME); those of the nats
command line can be copied there as they are.

A command uses the first of these: --nats-url, --context, $DYNCTL_NATS_URL,
$DYNCTL_CONTEXT, the selected context, ` + defaultNATSURL + `.`

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
	var c connection
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
		i := slices.IndexFunc(contextKeys, func(k contextKey) bool { return k.name == f.key })
		fs.StringVar(contextKeys[i].field(&c), f.flag, "", f.usage)
	}
	selected := fs.Bool("select", false, "use it from now on")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		name := args[0]
		if err := checkContextName(name); err != nil {
			return err
		}
		if c.NATSURL = a.conn.natsURL; c.NATSURL == "" {
			return usageErr("which NATS does %s mean? Add --nats-url, such as --nats-url %s", name, defaultNATSURL)
		}
		if slices.Contains(contextNames(), name) {
			return fail(exitConflict, "context %s is there already: `dynctl context rm %s` first", name, name)
		}
		if err := a.readSecret(&c); err != nil {
			return err
		}
		for _, k := range contextKeys {
			*k.field(&c) = k.value(*k.field(&c))
		}
		if err := errors.Join(c.check(), c.checkFiles()); err != nil {
			return usageErr("%w", err)
		}
		data, err := json.MarshalIndent(c, "", "  ")
		if err != nil {
			return fmt.Errorf("encode context: %w", err)
		}
		if err := writePrivate(contextPath(name), append(data, '\n')); err != nil {
			return usageErr("context %s: %w", name, err)
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
func (a *app) readSecret(c *connection) error {
	if c.Password == "-" && c.Token == "-" {
		return usageErr("--password - and --token - both read standard input: give one")
	}
	for _, secret := range []*string{&c.Password, &c.Token} {
		if *secret != "-" {
			continue
		}
		text, err := io.ReadAll(io.LimitReader(a.in, 1<<20))
		if err != nil {
			return usageErr("read standard input: %w", err)
		}
		if *secret = strings.TrimRight(string(text), "\r\n"); *secret == "" {
			return usageErr("standard input is empty: want a secret")
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
		names := contextNames()
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
			if name == selectedContext() {
				mark = "*"
			}
			c, err := readContext(name)
			if err != nil {
				t.add(mark, name, a.style.bad("unreadable"), "see `dynctl context show "+name+"`")
				continue
			}
			t.add(mark, name, redacted(c.NATSURL), c.Description)
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
			return usageErr("want the name of a context, or --none: there is %s", orDash(strings.Join(contextNames(), ", ")))
		case *none:
			if err := os.Remove(selectionPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return usageErr("%w", err)
			}
			_, err := fmt.Fprintln(a.out, "no context is selected")
			return err
		}
		if _, err := readContext(args[0]); err != nil {
			return err
		}
		return a.selectContext(args[0])
	}
	return cmd
}

func (a *app) selectContext(name string) error {
	if err := writePrivate(selectionPath(), []byte(name+"\n")); err != nil {
		return usageErr("%w", err)
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
			name := selectedContext()
			if len(args) == 1 {
				name = args[0]
			}
			if name == "" {
				return notFoundErr("no context is selected: there is %s", orDash(strings.Join(contextNames(), ", ")))
			}
			c, err := readContext(name)
			if err != nil {
				return err
			}
			var t table
			t.add("name", name)
			t.add("file", contextPath(name))
			for _, k := range contextKeys {
				switch value := *k.field(&c); {
				case value == "":
				case k.secret:
					t.add(k.name, "xxxxx")
				case k.name == "natsUrl":
					t.add(k.name, redacted(value))
				default:
					t.add(k.name, value)
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
				if err := checkContextName(name); err != nil {
					return err
				}
				err := os.Remove(contextPath(name))
				if errors.Is(err, fs.ErrNotExist) {
					return notFoundErr("no context %q: there is %s", name, orDash(strings.Join(contextNames(), ", ")))
				}
				if err != nil {
					return usageErr("%w", err)
				}
				if selectedContext() == name {
					if err := os.Remove(selectionPath()); err != nil {
						return usageErr("%w", err)
					}
				}
				fmt.Fprintf(a.out, "context %s removed\n", name)
			}
			return nil
		},
	}
}

// completeContexts offers the names of contexts to the shell.
func completeContexts(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return contextNames(), cobra.ShellCompDirectiveNoFileComp
}
