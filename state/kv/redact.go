package kv

import (
	"errors"
	"net/url"

	"dynctl/state"
)

// Redact is [state.RedactURL].
func Redact(natsURL string) string { return state.RedactURL(natsURL) }

// errBadURL stands for what the parser of URLs says, which repeats the URL.
var errBadURL = errors.New("the URL cannot be read: want nats://host:port, and %XX for special characters of a password")

// RedactError is an error of dialling a URL without the URL in its text.
func RedactError(err error) error {
	if _, ok := errors.AsType[*url.Error](err); ok {
		return errBadURL
	}
	return err
}
