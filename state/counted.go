package state

import (
	"strconv"
	"strings"
)

// Counted is a count with its noun: "1 model", "2 models", "2 statuses".
func Counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if strings.HasSuffix(noun, "s") {
		noun += "e"
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// OutOf is how many of a number of things are something: "0 of 1 worker is ready", "1 of 2 workers
// are ready".
func OutOf(n, of int, noun, are string) string {
	verb := "are"
	if of == 1 {
		verb = "is"
	}
	return strconv.Itoa(n) + " of " + Counted(of, noun) + " " + verb + " " + are
}
