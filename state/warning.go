package state

import (
	"fmt"
	"strings"
)

// Warning is something in an accepted object that does not do what it seems to
// say. It stops nothing.
type Warning struct {
	// Key is the object's key: "model.default.qwen3-8b".
	Key string `json:"key"`
	// Path is the field: "spec.env.VLLM_ENGINE_READY_TIMEOUT_S".
	Path string `json:"path"`
	// Message says what does not happen, and what would make it happen.
	Message string `json:"message"`
	// more is how many warnings this one stands for.
	more int
}

// String is "path: message".
func (w Warning) String() string {
	if w.Path == "" {
		return w.Message
	}
	return w.Path + ": " + w.Message
}

// maxWarningsText is the length of the longest text of warnings, in bytes.
const maxWarningsText = 4 << 10

// WarningsText lists warnings, one a line, as many as a message holds, and counts
// the others.
func WarningsText(list []Warning) string {
	var b strings.Builder
	for i, w := range list {
		line := w.String()
		if len(line) > maxWarningsText {
			line = strings.ToValidUTF8(line[:maxWarningsText], "") + " ..."
		}
		if b.Len()+len(line) > maxWarningsText && i > 0 {
			fmt.Fprintf(&b, "\n... and %d more", len(list)-i)
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(line)
	}
	return b.String()
}

// warnings collects those of one object, whose key is put in by who knows it.
type warnings []Warning

// add notes a warning. Those past MaxFaults are counted, by one that says how many.
func (w *warnings) add(path, format string, args ...any) {
	if n := len(*w) - MaxFaults; n >= 0 {
		if n == 0 {
			*w = append(*w, Warning{})
		}
		last := &(*w)[MaxFaults]
		last.more++
		last.Message = "and " + thousands(last.more) + " more"
		return
	}
	*w = append(*w, Warning{Path: path, Message: fmt.Sprintf(format, args...)})
}
