package state

import (
	"errors"
	"strings"
)

// MaxValueSize is the size of the largest value of a spec, in bytes.
const MaxValueSize = 512 << 10

// Invalid is one rule that an object breaks. It is an error.
type Invalid struct {
	// Reason is one of the Reason constants.
	Reason string
	// Path is where: "spec.engineArgs.served-model-name". Empty: the whole object.
	Path string
	// Message says what is wrong there and what to do.
	Message string
	// more is how many faults this one stands for; they are counted and not told.
	more int
}

// Error is "path: message (reason)".
func (i *Invalid) Error() string {
	if i.more > 0 {
		return i.Message
	}
	text := Clip(Visible(HideSecrets(i.Message)), 2*maxText) + " (" + i.Reason + ")"
	if i.Path == "" {
		return text
	}
	return Clip(Visible(i.Path), maxWord) + ": " + text
}

// ReasonOf is the reason of a rejection: that of the first [*Invalid] in err,
// ReasonInvalidSpec for any other error, empty for nil.
func ReasonOf(err error) string {
	if err == nil {
		return ""
	}
	if invalid, ok := errors.AsType[*Invalid](err); ok {
		return invalid.Reason
	}
	return ReasonInvalidSpec
}

// InvalidOf is what is rejected with err: its text alone, for an error may hold on to a
// whole document, and its reason once.
func InvalidOf(err error) *Invalid {
	reason := ReasonOf(err)
	return &Invalid{Reason: reason, Message: Clip(strings.TrimSuffix(err.Error(), " ("+reason+")"), MaxMessage)}
}
