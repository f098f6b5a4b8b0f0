package engineflags

import (
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var (
	wholeNumber  = regexp.MustCompile(`^[-+]?\d+(_\d+)*$`)
	sizeNumber   = regexp.MustCompile(`^(\d+(\.\d+)?[kmgt]|\d+[KMGT])$`)
	sizeInJSON   = regexp.MustCompile(`\b\d+(\.\d+)?[kKmMgGtT]\b`)
	plainNegated = regexp.MustCompile(`^-(\d+|\d*\.\d+)$`)
	boolWords    = []string{"true", "false", "1", "0", "yes", "no", "on", "off", ""}
)

// takes reports whether one word is of the flag's kind and among its choices.
func (f Flag) takes(word string) bool {
	if slices.Contains(f.Besides, word) {
		return true
	}
	if len(f.Choices) > 0 && !slices.Contains(f.Choices, word) {
		return false
	}
	trimmed := strings.TrimSpace(word)
	switch f.Kind {
	case KindInt:
		return wholeNumber.MatchString(trimmed)
	case KindSize:
		return wholeNumber.MatchString(trimmed) || sizeNumber.MatchString(trimmed)
	case KindFloat:
		return isFloat(trimmed)
	case KindBool:
		return slices.Contains(boolWords, strings.ToLower(trimmed))
	case KindJSON:
		return json.Valid([]byte(word))
	case KindConfig:
		return strings.HasPrefix(trimmed, "{") && json.Valid([]byte(withoutSizes(word)))
	}
	return true
}

func isFloat(word string) bool {
	if strings.ContainsAny(word, "xXpP") {
		return false // a hexadecimal one, which Python does not read
	}
	_, err := strconv.ParseFloat(word, 64)
	return err == nil || errors.Is(err, strconv.ErrRange)
}

// withoutSizes writes 0 for sizes such as 80g, which vLLM takes for numbers in the
// objects that it knows.
func withoutSizes(text string) string {
	parts := strings.Split(text, `"`) // every second one is inside quotes
	for i := 0; i < len(parts); i += 2 {
		parts[i] = sizeInJSON.ReplaceAllString(parts[i], "0")
	}
	return strings.Join(parts, `"`)
}

// wants says in words what a word of the flag is.
func (f Flag) wants() string {
	if len(f.Choices) > 0 {
		return "one of " + list(f.Choices)
	}
	what := map[Kind]string{
		KindSwitch: "true or false", KindOptional: "true or false",
		KindInt: "a whole number", KindSize: "a whole number (8k and 2M are taken too)", KindFloat: "a number",
		KindBool: "true or false", KindJSON: "a JSON value", KindConfig: "an object",
	}[f.Kind]
	if what == "" {
		what = "text"
	}
	return what
}

// list names words, as many as a message holds.
func list(words []string) string {
	const most = 24
	if len(words) > most {
		return strings.Join(words[:most], ", ") + " and " + strconv.Itoa(len(words)-most) + " more"
	}
	return strings.Join(words, ", ")
}
