package state

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// HiddenSecret stands in the place of a secret wherever one is shown.
const HiddenSecret = "xxxxx"

// RedactURL is a URL, or a list of them, without its secrets: what stands behind the
// user, a token, which stands where the user would, and the values of a query. It
// takes URLs that cannot be parsed as well, because a password that spoils its URL is
// still one.
func RedactURL(list string) string {
	var out []string
	for one := range strings.SplitSeq(list, ",") {
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
	rest = rest[:at+1] + redactQuery(rest[at+1:])
	if at < 0 {
		return scheme + rest
	}
	user, _, hasPassword := strings.Cut(rest[:at], ":")
	if !hasPassword {
		return scheme + HiddenSecret + rest[at:]
	}
	return scheme + user + ":" + HiddenSecret + rest[at:]
}

// redactQuery hides the values of the query that ends a URL.
func redactQuery(rest string) string {
	before, query, ok := strings.Cut(rest, "?")
	if !ok {
		return rest
	}
	parts := strings.Split(query, "&")
	for i, part := range parts {
		if name, value, _ := strings.Cut(part, "="); value != "" {
			parts[i] = name + "=" + HiddenSecret
		}
	}
	return before + "?" + strings.Join(parts, "&")
}

// isAddress reports whether a URL ends with a host or with a port, not in the middle of
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

// redactedPaths are the fields of a Server that hold URLs.
var redactedPaths = [][]string{{"spec", "etcd", "endpoint"}, {"spec", "nats", "url"}}

// RedactDocument is a spec as JSON, with the secrets of its URLs hidden. It is for
// showing alone: stored, it would be refused.
func RedactDocument(raw []byte) []byte {
	for _, path := range redactedPaths {
		raw = redactField(raw, path)
	}
	return raw
}

// redactField hides the secrets of the URL at a path, if there is text there.
func redactField(raw []byte, path []string) []byte {
	if len(path) == 0 {
		var url string
		if json.Unmarshal(raw, &url) != nil || RedactURL(url) == url {
			return raw
		}
		var b bytes.Buffer
		writeJSONString(&b, RedactURL(url))
		return b.Bytes()
	}
	var object Args
	if json.Unmarshal(raw, &object) != nil {
		return raw
	}
	value, has := object.Get(path[0])
	if !has {
		return raw
	}
	if hidden := redactField(value, path[1:]); !bytes.Equal(hidden, value) {
		return marshalArgs(object.With(path[0], hidden))
	}
	return raw
}

// redacted reports whether a URL is one that RedactURL has written.
func redacted(url string) bool {
	return strings.Contains(url, HiddenSecret+"@") || strings.Contains(url, "="+HiddenSecret)
}

// HideSecrets is any text with the secrets of the URLs in it hidden: messages of errors
// and lines of files repeat them.
func HideSecrets(text string) string {
	return hideSecrets(text, func(string) string { return HiddenSecret })
}

func hideSecrets(text string, with func(secret string) string) string {
	const mark = "://"
	if !strings.Contains(text, mark) {
		return text
	}
	var b strings.Builder
	for {
		i := strings.Index(text, mark)
		if i < 0 {
			break
		}
		b.WriteString(text[:i+len(mark)])
		text = text[i+len(mark):]
		end := strings.IndexAny(text, " \t\n\"'`<>")
		if end < 0 {
			end = len(text)
		}
		if next := strings.Index(text[:end], mark); next >= 0 {
			end = next // the next of a list
		}
		at := strings.LastIndexByte(text[:end], '@')
		if at < 0 {
			continue
		}
		user := ""
		if j := strings.IndexByte(text[:at], ':'); j >= 0 {
			user = text[:j+1]
		}
		secret := text[len(user):at]
		if strings.Trim(secret, "x") != "" { // else it is hidden already
			secret = with(secret)
		}
		b.WriteString(user + secret)
		text = text[at:]
	}
	b.WriteString(text)
	return b.String()
}

// HideValue is the value of a variable as it is shown: a URL without its secrets, and
// anything else hidden unless it cannot be one, being a small number or a word that
// stands for a choice.
func HideValue(value string) string {
	switch {
	case value == "", harmless(value):
		return value
	case strings.Contains(value, "://") && !strings.ContainsAny(value, " \t\n"):
		return RedactURL(value)
	}
	return HiddenSecret
}

var harmlessWords = []string{"true", "false", "yes", "no", "on", "off", "auto", "nats", "tcp", "zmq", "etcd", "info", "debug", "warn", "error"}

func harmless(value string) bool {
	if slices.Contains(harmlessWords, strings.ToLower(value)) {
		return true
	}
	_, err := strconv.ParseFloat(value, 64)
	return err == nil && len(value) <= 6
}
