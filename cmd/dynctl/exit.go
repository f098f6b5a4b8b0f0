package main

import (
	"strings"

	"dynctl/cmd/dynctl/internal/exit"
)

// errDifference ends diff and plan when there is something to do.
var errDifference = exit.Silent(exit.Difference)

// isUsage recognises the errors that cobra and pflag make of a wrong command
// line; they have no types.
func isUsage(err error) bool {
	text := err.Error()
	for _, start := range []string{
		"unknown command", "unknown flag", "unknown shorthand flag", "flag needs an argument",
		"invalid argument", "accepts ", "requires at least", "requires at most", "required flag",
		"if any flags in the group", "bad flag syntax", "at least one of the flags",
	} {
		if strings.HasPrefix(text, start) {
			return true
		}
	}
	return false
}
