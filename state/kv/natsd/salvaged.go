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
	// subjects are those whose newest record is damaged, older those of entries of buckets
	// of which only one before it is, as far as they can still be read. Events of one
	// subject are not revisions of each other.
	subjects, older []string
}

// told is what the log has of it.
func (s *salvaged) told() []any {
	told := []any{"records", s.kept}
	if len(s.older) > 0 {
		told = append(told, "olderRevisionsOf", keys(s.older))
		if len(s.subjects) == 0 {
			return append(told, "keysSetAside", "none")
		}
	}
	return append(told, "keysSetAside", keys(s.subjects))
}

// note takes in the next block of the stream.
func (s *salvaged) note(b block) {
	s.kept += len(b.sound)
	noted := 0
	for i, region := range b.damaged {
		s.whole(b.sound[noted:b.before[i]])
		noted = b.before[i]
		again := subjectsIn(region)
		s.subjects = append(s.subjects, again...)
		s.older = slices.DeleteFunc(s.older, func(subject string) bool { return slices.Contains(again, subject) })
	}
	s.whole(b.sound[noted:])
}

// whole takes in records that are right and come after what was taken in before.
func (s *salvaged) whole(records [][]byte) {
	if len(s.subjects) == 0 {
		return
	}
	newer := map[string]bool{}
	for _, r := range records {
		if binary.LittleEndian.Uint64(r[4:])&(erased|tombstone) == 0 {
			newer[string(r[recordHead:][:binary.LittleEndian.Uint16(r[recordHead-2:])])] = true
		}
	}
	s.subjects = slices.DeleteFunc(s.subjects, func(subject string) bool {
		older := newer[subject] && strings.HasPrefix(subject, kvPrefix)
		if older {
			s.older = append(s.older, subject)
		}
		return older
	})
}

// shownKeys is how many keys are named.
const shownKeys = 20

// keys names those of some subjects, in one line.
func keys(subjects []string) string {
	names := make([]string, len(subjects))
	for i, subject := range subjects {
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
