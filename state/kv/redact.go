package kv

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
)

const hiddenSecret = "xxxxx"

// Redact is a NATS URL, or a list of them, without its secrets: what stands behind
// the user, and a token, which stands where the user would. It takes URLs that
// cannot be parsed as well, because a password that spoils its URL is still one.
func Redact(natsURL string) string {
	var out []string
	for one := range strings.SplitSeq(natsURL, ",") {
		// A comma in a password tears it: its end has the @, and its beginning no port.
		if n := len(out); n > 0 && strings.Contains(one, "@") && !strings.Contains(one, "://") && !strings.Contains(out[n-1], "@") && !isAddress(out[n-1]) {
			one = out[n-1] + "," + one
			out = out[:n-1]
		}
		out = append(out, redactOne(one))
	}
	return strings.Join(out, ",")
}

func redactOne(one string) string {
	scheme, rest, ok := strings.Cut(one, "://")
	if ok {
		scheme += "://"
	} else {
		scheme, rest = "", one
	}
	// The last @, because a password may hold one.
	at := strings.LastIndexByte(rest, '@')
	if at < 0 {
		return one
	}
	user, _, hasPassword := strings.Cut(rest[:at], ":")
	if !hasPassword {
		return scheme + hiddenSecret + rest[at:]
	}
	return scheme + user + ":" + hiddenSecret + rest[at:]
}

// isAddress says that a URL ends with a host or with a port, not in the middle of
// a password.
func isAddress(one string) bool {
	if _, rest, ok := strings.Cut(one, "://"); ok {
		one = rest
	}
	i := strings.LastIndexByte(one, ':')
	if i < 0 || strings.HasSuffix(one, "]") {
		return true
	}
	_, err := strconv.ParseUint(one[i+1:], 10, 16)
	return err == nil
}

// errBadURL stands for what the parser of URLs says, which repeats the URL.
var errBadURL = errors.New("the URL cannot be read: want nats://host:port, and %XX for special characters of a password")

// RedactError is an error of dialling a URL without the URL in its text.
func RedactError(err error) error {
	if _, ok := errors.AsType[*url.Error](err); ok {
		return errBadURL
	}
	return err
}
