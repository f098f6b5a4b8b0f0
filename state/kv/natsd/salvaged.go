package natsd

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// salvaged is what became of a damaged stream.
type salvaged struct {
	// kept is how many records are left.
	kept int
	// subjects are those of the damaged records, as far as they can still be read.
	subjects []string
}

// shownKeys is how many keys are named.
const shownKeys = 20

// keys names what was set aside, in one line.
func (s salvaged) keys() string {
	names := make([]string, len(s.subjects))
	for i, subject := range s.subjects {
		names[i] = subject
		if rest, ok := strings.CutPrefix(subject, kvPrefix); ok {
			_, names[i], _ = strings.Cut(rest, ".")
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	switch n := len(names); {
	case n == 0:
		return "none that can still be read"
	case n > shownKeys:
		return strings.Join(names[:shownKeys], ", ") + fmt.Sprintf(" and %d more", n-shownKeys)
	}
	return strings.Join(names, ", ")
}

// Beginnings of the subjects of ours: of entries of buckets, and of events.
const (
	kvPrefix    = "$KV."
	eventPrefix = "dynctl.events."
	maxSubject  = 512
)

// subjectsIn finds the subjects of records in bytes of which something is not right. The
// length in front of a subject tells where it ends; one that cannot be is taken to end
// where no subject goes on.
func subjectsIn(region []byte) (out []string) {
	for at := 0; at < len(region); {
		next := -1
		for _, prefix := range []string{kvPrefix, eventPrefix} {
			if i := bytes.Index(region[at:], []byte(prefix)); i >= 0 && (next < 0 || i < next) {
				next = i
			}
		}
		if next < 0 {
			break
		}
		at += next
		end := at
		for end < len(region) && end-at < maxSubject && ofSubject(region[end]) {
			end++
		}
		if at >= recordHead { // else its head is what is damaged
			if n := int(binary.LittleEndian.Uint16(region[at-2:])); n > 0 && n <= end-at {
				out = append(out, string(region[at:at+n]))
			} else {
				out = append(out, string(region[at:end]))
			}
		}
		at = end
	}
	return out
}

func ofSubject(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_=./$", c) >= 0
}
