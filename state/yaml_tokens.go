package state

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/scanner"
	"github.com/goccy/go-yaml/token"
)

// tokenize is the lexer of the library, which goes on to the end however many tokens
// there are.
func (p *yamlParser) tokenize(text string) (token.Tokens, error) {
	var s scanner.Scanner
	s.Init(text)
	var tokens token.Tokens
	for {
		// Text that is no YAML is a token as well: an error without one is the end.
		more, err := s.Scan()
		if err != nil && len(more) == 0 {
			return tokens, nil
		}
		if tokens.Add(more...); len(tokens) > maxTokens {
			return nil, p.src.errorAt(p.first+1, 1, "the document that begins here has too many values",
				fmt.Sprintf("a YAML document may have about %d, a JSON document more", maxTokens/3))
		}
	}
}

// checkTokens refuses what would send the recursive parser too deep (brackets,
// and indicators that follow each other on one line), and what it takes for text though it is none.
func (p *yamlParser) checkTokens(tokens token.Tokens) error {
	depth, line, inline := 0, 0, 0
	for _, t := range tokens {
		if t.Position == nil {
			continue
		}
		if t.Position.Line != line {
			line, inline = t.Position.Line, 0
		}
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			depth++
		case token.MappingEndType, token.SequenceEndType:
			depth--
		case token.SequenceEntryType, token.MappingKeyType, token.AnchorType, token.TagType, token.MappingValueType:
			inline++
		}
		// Flow mappings have a colon per key, so a long line of them is no nesting.
		if depth > maxDepth || depth == 0 && inline > maxDepth || t.Position.IndentNum > 1<<12 {
			return p.src.errorAt(p.first+t.Position.Line, t.Position.Column, "the document is nested too deeply", tooDeepHint)
		}
		if at := colonInPlain(t.Value); depth > 0 && t.Type == token.StringType && at >= 0 {
			if strings.Contains(strings.TrimSpace(t.Origin), "\n") {
				at = 0 // its text was folded
			}
			return p.src.errorAt(p.first+t.Position.Line, t.Position.Column+at,
				"this is not YAML: ',' or '}' must come before another key", "put a comma between two keys, or the text in quotes")
		}
	}
	return nil
}

// colonInPlain is the place, in characters, of a colon that ends a key: no text
// without quotes holds one, though the library takes it in a value between
// brackets. -1: there is none.
func colonInPlain(s string) int {
	for i, r := range s {
		if r == ':' && (i+1 == len(s) || s[i+1] == ' ' || s[i+1] == '\t' || s[i+1] == '\n') {
			return utf8.RuneCountInString(s[:i])
		}
	}
	return -1
}
