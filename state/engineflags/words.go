package engineflags

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Problem is a value that a flag cannot take: the program would end at its start,
// or take something else.
type Problem struct {
	// Message says what is wrong and what to write.
	Message string
	// Word and Choices are set where the word is none of the flag's choices.
	Word    string
	Choices []string
}

// Words writes one argument of a spec as words of the command line: by the rules
// of the flag where the table knows it, else as [Plain]. With a problem it is as
// Plain writes it.
func (t *Table) Words(key string, value json.RawMessage) ([]string, *Problem) {
	found, ok := t.Find(key)
	if !ok && strings.Contains(key, ".") && t.dotted() {
		head, path, _ := strings.Cut(key, ".")
		return dottedWords(dashed("--"+head), path, value, pythonBool), nil
	}
	if !ok || found.Joined || found.Ambiguous != nil {
		return Plain(key, value), nil
	}
	words, problem := found.words(value)
	if problem != nil {
		return Plain(key, value), problem
	}
	return words, nil
}

// Plain writes an argument of which nothing is known: "_" in a key becomes "-",
// true is a bare option, false is "--no-{key}", a list or an object is [JSONText],
// null is "None", all else is the text of the value.
func Plain(key string, value json.RawMessage) []string {
	name := strings.ReplaceAll(key, "_", "-")
	switch text := string(value); text {
	case "true":
		return []string{"--" + name}
	case "false":
		return []string{"--no-" + name}
	case "null":
		return []string{"--" + name, "None"}
	}
	return []string{"--" + name, wordOf(value)}
}

// wordOf is the text of a value: of a string what it says, else its JSON.
func wordOf(value json.RawMessage) string {
	if value[0] != '"' {
		return JSONText(value)
	}
	var s string
	// Args hold valid JSON values only.
	_ = json.Unmarshal(value, &s)
	return s
}

func (f Found) words(value json.RawMessage) ([]string, *Problem) {
	text := string(value)
	switch {
	case f.Kind == KindExit:
		return nil, problem("%s prints something and ends; remove it", f.Option)
	case text == "null":
		return nil, nil
	case f.Path != "":
		return f.dottedWords(value)
	case f.Bare():
		return f.bareWords(text)
	case f.Repeats && value[0] == '[':
		return f.repeated(value)
	case f.Many():
		return f.manyWords(value)
	}
	return f.oneWord(value)
}

// bareWords writes a flag that takes no word.
func (f Found) bareWords(text string) ([]string, *Problem) {
	switch {
	case text != "true" && text != "false":
		return nil, problem("%s is a switch and takes no value; write true or false, without quotes", f.Option)
	case text == "true":
		return []string{f.Option}, nil
	case f.Off:
		return nil, problem("false of %s says twice no; write %s: true", f.Option, strings.TrimPrefix(f.Name(), "no-"))
	case f.Negative != "":
		return []string{f.Negative}, nil
	case f.Kind == KindOptional:
		return []string{"--no-" + strings.TrimPrefix(f.Option, "--")}, nil
	case string(f.Default) == "true":
		return nil, problem("%s is on by itself, and %s has no form that turns it off; remove it", f.Key(), f.Option)
	}
	return nil, nil // it is off where it does not stand
}

// oneWord writes a flag that takes one word.
func (f Found) oneWord(value json.RawMessage) ([]string, *Problem) {
	text := string(value)
	if text == "true" || text == "false" {
		return f.truthWord(text)
	}
	nested := value[0] == '[' || value[0] == '{'
	if nested && (len(f.Choices) > 0 || f.Kind != KindText && f.Kind != KindJSON && f.Kind != KindConfig) {
		return nil, problem("%s takes one value: %s", f.Option, f.wants())
	}
	word := wordOf(value)
	if p := f.check(word, value[0] == '"'); p != nil {
		return nil, p
	}
	return f.with(word), nil
}

// truthWord writes true or false for a flag that takes a word.
func (f Found) truthWord(text string) ([]string, *Problem) {
	python := strings.ToUpper(text[:1]) + text[1:]
	switch {
	case f.Nargs == "?" && text == "true":
		return []string{f.Option}, nil
	case f.Nargs == "?" && (f.Default == nil || string(f.Default) == "false"):
		return nil, nil
	case f.Kind == KindBool, f.Kind == KindJSON, len(f.Choices) > 0 && f.takes(text):
		return []string{f.Option, text}, nil
	case len(f.Choices) > 0 && f.takes(python):
		return []string{f.Option, python}, nil
	}
	return nil, problem("%s takes a value, and %s is none: %s", f.Option, text, f.wants())
}

// check says why the flag does not take a word.
func (f Found) check(word string, quoted bool) *Problem {
	if f.takes(word) {
		return nil
	}
	shown := word
	if quoted {
		shown = strconv.Quote(word)
	}
	p := problem("%s takes %s, not %s", f.Option, f.wants(), shorten(shown))
	if len(f.Choices) > 0 { // there may be many
		p.Message = fmt.Sprintf("%s does not take %s, but %s", f.Option, shorten(shown), f.wants())
		p.Word, p.Choices = word, f.Choices
		return p
	}
	if whole, ok := wholeOf(word); ok && (f.Kind == KindInt || f.Kind == KindSize) {
		p.Message += "; write " + whole
	}
	return p
}

// wholeOf writes a number such as 8192.0 or 1e4 without fraction and exponent.
func wholeOf(word string) (string, bool) {
	n, err := strconv.ParseFloat(word, 64)
	if err != nil || n != float64(int64(n)) || n > 1<<53 || n < -1<<53 {
		return "", false
	}
	return strconv.FormatInt(int64(n), 10), true
}

// with writes the option with one word. A word that looks like an option is joined
// to it, or the parser would take it for one.
func (f Found) with(word string) []string {
	if strings.HasPrefix(word, "-") && !plainNegated.MatchString(word) {
		return []string{f.Option + "=" + word}
	}
	return []string{f.Option, word}
}

// repeated writes the option once for each element.
func (f Found) repeated(value json.RawMessage) ([]string, *Problem) {
	var words []string
	for _, e := range elements(value) {
		each, p := f.oneWord(e)
		if p != nil {
			return nil, p
		}
		words = append(words, each...)
	}
	return words, nil
}

// manyWords writes a flag that takes several words.
func (f Found) manyWords(value json.RawMessage) ([]string, *Problem) {
	each := []json.RawMessage{value}
	if value[0] == '[' {
		each = elements(value)
	}
	want, err := strconv.Atoi(f.Nargs)
	switch {
	case err == nil && len(each) != want:
		return nil, problem("%s takes a list of %d, and this has %d", f.Option, want, len(each))
	case err != nil && f.Nargs == "+" && len(each) == 0:
		return nil, problem("%s takes at least one value, and the list is empty; remove it", f.Option)
	}
	words := []string{f.Option}
	for _, e := range each {
		word := wordOf(e)
		if word == "null" && e[0] == 'n' {
			word = "None"
		}
		switch p := f.check(word, e[0] == '"'); {
		case p != nil:
			if value[0] == '"' && strings.Contains(word, " ") {
				p.Message += "; write a list: [" + strings.Join(strings.Fields(word), ", ") + "]"
			}
			return nil, p
		case strings.HasPrefix(word, "-") && !plainNegated.MatchString(word):
			return nil, problem("%s takes a list, in which its parser reads %q as another option", f.Option, word)
		}
		words = append(words, word)
	}
	return words, nil
}

func elements(value json.RawMessage) []json.RawMessage {
	var out []json.RawMessage
	_ = json.Unmarshal(value, &out) // a valid JSON list
	return out
}

// dottedWords writes "--flag.key value". TensorRT-LLM's options take numbers, text,
// true and false, and nothing else; vLLM reads the value as JSON where it is any.
func (f Found) dottedWords(value json.RawMessage) ([]string, *Problem) {
	nested := value[0] == '[' || value[0] == '{'
	if f.Name() == TRTLLM {
		if nested {
			return nil, problem("%s.%s takes no list and no object on the command line; write it in override_engine_args", f.Option, f.Path)
		}
		switch {
		case slices.Contains(strings.Split(f.Path, "."), ""):
			return nil, problem("%s.%s has nothing between two dots, or behind the last; write a name there", f.Option, f.Path)
		case strings.HasPrefix(wordOf(value), "--"):
			return nil, problem("%s.%s takes no value that begins with --; write it in override_engine_args", f.Option, f.Path)
		}
		return dottedWords(f.Option, f.Path, value, plainBool), nil
	}
	truth := plainBool
	if f.Kind == KindConfig {
		truth = pythonBool
	}
	return dottedWords(f.Option, f.Path, value, truth), nil
}

func plainBool(text string) string  { return text }
func pythonBool(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

func dottedWords(option, path string, value json.RawMessage, truth func(string) string) []string {
	name := option + "." + path
	word := wordOf(value)
	if text := string(value); text == "true" || text == "false" {
		word = truth(text)
	}
	if strings.HasPrefix(word, "--") {
		return []string{name + "=" + word}
	}
	return []string{name, word}
}

func problem(format string, args ...any) *Problem {
	return &Problem{Message: fmt.Sprintf(format, args...)}
}

// shorten keeps what a message holds of a word.
func shorten(word string) string {
	const most = 80
	if len(word) <= most {
		return word
	}
	return strings.ToValidUTF8(word[:most], "") + "..."
}
