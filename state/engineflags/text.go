package engineflags

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// JSONText writes a valid JSON value on one line with the separators ", " and
// ": ", all but printable ASCII escaped. Key order and the text of numbers are kept.
func JSONText(value json.RawMessage) string {
	var b strings.Builder
	for i := 0; i < len(value); i++ {
		switch c := value[i]; c {
		case ' ', '\t', '\n', '\r':
		case ',', ':':
			b.WriteByte(c)
			b.WriteByte(' ')
		case '"':
			i = writeStringASCII(&b, value, i)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// writeStringASCII writes the JSON string that begins at start, and returns the
// index of its closing quote. Escapes are written in one canonical form, lone
// surrogates included.
func writeStringASCII(b *strings.Builder, value json.RawMessage, start int) int {
	b.WriteByte('"')
	i := start + 1
	for i < len(value) && value[i] != '"' {
		if value[i] != '\\' {
			r, size := utf8.DecodeRune(value[i:])
			for _, unit := range utf16.Encode([]rune{r}) {
				writeUnit(b, unit)
			}
			i += size
			continue
		}
		switch e := value[i+1]; e {
		case 'u':
			unit, _ := strconv.ParseUint(string(value[i+2:i+6]), 16, 16)
			writeUnit(b, uint16(unit))
			i += 6
		default:
			writeUnit(b, unescaped(e))
			i += 2
		}
	}
	b.WriteByte('"')
	return i
}

const (
	escapeLetters = `bfnrt`
	escapeUnits   = "\b\f\n\r\t"
)

// unescaped is what a backslash and a letter stand for.
func unescaped(letter byte) uint16 {
	if i := strings.IndexByte(escapeLetters, letter); i >= 0 {
		return uint16(escapeUnits[i])
	}
	return uint16(letter)
}

func writeUnit(b *strings.Builder, unit uint16) {
	if unit < utf8.RuneSelf {
		if i := strings.IndexByte(escapeUnits, byte(unit)); i >= 0 {
			b.WriteByte('\\')
			b.WriteByte(escapeLetters[i])
			return
		}
		if unit == '"' || unit == '\\' {
			b.WriteByte('\\')
		}
		if unit >= ' ' && unit <= '~' {
			b.WriteByte(byte(unit))
			return
		}
	}
	fmt.Fprintf(b, `\u%04x`, unit)
}
