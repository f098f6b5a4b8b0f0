package state

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Version is the major and the minor number of a release, which decide what it
// understands.
type Version struct {
	Major, Minor int
}

// ParseVersion reads the first two numbers of a version: "1.6.0", "1.6.0rc1+cu13",
// "v1.6". ok is false where there are none.
func ParseVersion(s string) (v Version, ok bool) {
	major, rest, _ := strings.Cut(strings.TrimPrefix(s, "v"), ".")
	minor := rest
	if end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
		minor = rest[:end]
	}
	var err, err2 error
	v.Major, err = strconv.Atoi(major)
	v.Minor, err2 = strconv.Atoi(minor)
	return v, err == nil && err2 == nil && v.Major >= 0
}

// Compare orders versions, older ones first.
func (v Version) Compare(o Version) int {
	return cmp.Or(cmp.Compare(v.Major, o.Major), cmp.Compare(v.Minor, o.Minor))
}

// Before reports whether v is older than o.
func (v Version) Before(o Version) bool { return v.Compare(o) < 0 }

func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }
