package main

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/cmd/dynctl/internal/prose"
	"dynctl/state"
)

// wrongUsage says in a person's words what cobra and pflag found wrong with a
// command line, with what was probably meant, on one line.
func wrongUsage(cmd *cobra.Command, err error) error {
	text, known := wrongFlag(cmd, err)
	if !known {
		text, known = wrongArgs(cmd, err.Error())
	}
	if !known {
		text = prose.FirstLine(err.Error())
	}
	return exit.Usagef("%s (see %q)", text, cmd.CommandPath()+" --help")
}

// wrongFlag rewords the errors of pflag.
func wrongFlag(cmd *cobra.Command, err error) (string, bool) {
	if e, ok := errors.AsType[*pflag.NotExistError](err); ok {
		name := e.GetSpecifiedName()
		if group := e.GetSpecifiedShortnames(); group != "" {
			// -wait is a group of letters to pflag.
			if best := state.Nearest(group, flagNames(cmd)); len(group) > 2 && best != "" {
				return fmt.Sprintf("unknown flag -%s: did you mean --%s?", group, best), true
			}
			return fmt.Sprintf("unknown flag -%.1s", name) + hinted(habitualFlag(cmd, name)), true
		}
		if hint := habitualFlag(cmd, name); hint != "" {
			return "unknown flag --" + name + hinted(hint), true
		}
		if best := state.Nearest(name, flagNames(cmd)); best != "" {
			return fmt.Sprintf("unknown flag --%s: did you mean --%s?", name, best), true
		}
		return fmt.Sprintf("unknown flag --%s for %q", name, cmd.CommandPath()), true
	}
	if e, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		name, _ := pflag.UnquoteUsage(e.GetFlag())
		return fmt.Sprintf("--%s needs a value: --%s %s", e.GetFlag().Name, e.GetFlag().Name, strings.ToUpper(name)), true
	}
	if e, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		return fmt.Sprintf("--%s: %q %s", e.GetFlag().Name, e.GetValue(), wrongValue(e)), true
	}
	return "", false
}

func hinted(hint string) string {
	if hint == "" {
		return ""
	}
	return ": " + hint
}

// outOfRange says what a number of a type may be.
func outOfRange(typ string) string {
	switch typ {
	case "int":
		return fmt.Sprintf("is out of range: from %d to %d", math.MinInt, math.MaxInt)
	case "uint64":
		return fmt.Sprintf("is out of range: from 0 to %d", uint64(math.MaxUint64))
	}
	return "is out of range"
}

// wrongValue says what a flag takes instead of a value.
func wrongValue(e *pflag.InvalidValueError) string {
	switch {
	case errors.Is(e, errNotAbove):
		return errNotAbove.Error()
	case errors.Is(e, strconv.ErrRange):
		return outOfRange(e.GetFlag().Value.Type())
	}
	switch e.GetFlag().Value.Type() {
	case "int":
		return "is not a whole number"
	case "uint64":
		return "is not a whole number of 0 or more"
	case "duration":
		if state.BeyondDuration(e.GetValue()) {
			return "is too long: write one such as 30s, 5m or 1h30m"
		}
		return "is not a duration: write one such as 30s, 5m or 1h30m"
	case "bool":
		return "is neither true nor false"
	}
	return "cannot be taken: " + prose.FirstLine(e.Unwrap().Error())
}

func flagNames(cmd *cobra.Command) []string {
	var names []string
	add := func(f *pflag.Flag) { names = append(names, f.Name) }
	cmd.Flags().VisitAll(add)
	cmd.InheritedFlags().VisitAll(add)
	return names
}

var (
	unknownCommand = regexp.MustCompile(`^unknown command ("(?:[^"\\]|\\.)*") for `)
	argCounts      = regexp.MustCompile(`^(?:accepts|requires) .*?(\d+).* received (\d+)$`)
	flagGroup      = regexp.MustCompile(`^(at least one|if any flags).*?\[([^\]]*)\](?: are set none of the others can be; \[([^\]]*)\])?`)
)

// wrongArgs rewords the errors of cobra, which have no types.
func wrongArgs(cmd *cobra.Command, text string) (string, bool) {
	if m := unknownCommand.FindStringSubmatch(text); m != nil {
		name, err := strconv.Unquote(m[1])
		if err != nil {
			name = m[1]
		}
		return unknownVerb(cmd, name), true
	}
	if m := argCounts.FindStringSubmatch(text); m != nil {
		want, _ := strconv.Atoi(m[1])
		got, _ := strconv.Atoi(m[2])
		amount := "too many arguments"
		if got < want {
			amount = "too few arguments"
		}
		return amount + ": want " + usageLine(cmd), true
	}
	if m := flagGroup.FindStringSubmatch(text); m != nil {
		if m[1] == "at least one" {
			return "give --" + strings.Join(strings.Fields(m[2]), ", --") + " (one at least)", true
		}
		return "--" + strings.Join(strings.Fields(m[3]), " and --") + " exclude each other", true
	}
	return "", false
}

// unknownVerb is about a word where a verb was expected, or where nothing was.
func unknownVerb(cmd *cobra.Command, name string) string {
	if !cmd.HasAvailableSubCommands() {
		return fmt.Sprintf("%q is too much: want %s", name, usageLine(cmd))
	}
	var verbs []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			verbs = append(append(verbs, c.Name()), c.Aliases...)
		}
	}
	text := fmt.Sprintf("unknown command %q for %q", name, cmd.CommandPath())
	if here := habit(habitualVerbs, name); here != "" && !cmd.HasParent() {
		return text + here
	}
	if best := state.Nearest(name, verbs); best != "" {
		text += fmt.Sprintf(": did you mean %s?", best)
	}
	return text
}

// usageLine is how a command is written, with its first example.
func usageLine(cmd *cobra.Command) string {
	line := "`" + cmd.CommandPath() + strings.TrimPrefix(cmd.Use, cmd.Name()) + "`"
	if example := prose.FirstLine(strings.TrimSpace(cmd.Example)); example != "" {
		line += ", such as `" + example + "`"
	}
	return line
}

// helpCmd is cobra's, except that help on what does not exist is an error.
func (a *app) helpCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Help about any command",
		Example: "  dynctl help set",
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			found, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var names []string
			for _, c := range found.Commands() {
				if c.IsAvailableCommand() {
					names = append(names, c.Name()+"\t"+c.Short)
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			found, rest, err := cmd.Root().Find(args)
			if err != nil {
				return err
			}
			if len(rest) > 0 && found.HasAvailableSubCommands() {
				return wrongUsage(found, fmt.Errorf("unknown command %q for %q", rest[0], found.CommandPath()))
			}
			found.InitDefaultHelpFlag()
			return found.Help()
		},
	}
}

// refuseUnknownShells makes an error of a shell that completion does not know; cobra
// prints help and exits with 0.
func refuseUnknownShells(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	i := slices.IndexFunc(root.Commands(), func(c *cobra.Command) bool { return c.Name() == "completion" })
	root.Commands()[i].RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
}

// mayBeEmpty are the flags that say something when they are empty.
var mayBeEmpty = []string{"comment", "description", "system"}

// refuseEmpty refuses an argument, or a flag, that is given with nothing. What is asked of a
// model may be empty as far as dynctl is concerned.
func refuseEmpty(cmd *cobra.Command, args []string) error {
	if strings.HasPrefix(cmd.Name(), cobra.ShellCompRequestCmd) { // what is to be completed
		return nil
	}
	for i, arg := range args {
		if arg == "" && (i == 0 || cmd.Name() != "chat") {
			return exit.Usagef("argument %d is empty: is a variable of the shell not set? want %s (see %q)", i+1, usageLine(cmd), cmd.CommandPath()+" --help")
		}
	}
	return refuseEmptyFlags(cmd)
}

// refuseEmptyFlags refuses a flag that is given with nothing, which a variable of a shell that
// is not set becomes: as if it were absent it would mean another store, or all servers.
func refuseEmptyFlags(cmd *cobra.Command) (err error) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if f.Value.Type() == "string" && f.Value.String() == "" && !slices.Contains(mayBeEmpty, f.Name) {
			err = cmp.Or(err, exit.Usagef("--%s is given and empty: give it a value, or leave it out", f.Name))
		}
	})
	return err
}
