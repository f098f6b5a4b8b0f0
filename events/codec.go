package events

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
)

// traceParent is the extension of CloudEvents' "Distributed Tracing".
const traceParent = "traceparent"

// document is an event in structured mode, its attributes in the order in which CloudEvents'
// SDK writes them. It is written without the SDK, which copies the data three times: a start
// command waits for it, with a whole template in it.
type document struct {
	SpecVersion     string    `json:"specversion"`
	ID              string    `json:"id"`
	Source          string    `json:"source"`
	Type            string    `json:"type"`
	Subject         string    `json:"subject"`
	DataContentType string    `json:"datacontenttype"`
	Time            time.Time `json:"time"`
	Data            *Data     `json:"data"`
	TraceParent     string    `json:"traceparent,omitempty"` // see traceParent
}

// Encode renders an event as a CloudEvents 1.0 document in structured mode: one
// line of JSON. It fails with [ErrInvalid] when a required attribute is empty or
// when the server, the type or the object cannot stand in a NATS subject.
func Encode(e Event) ([]byte, error) {
	if err := e.check(); err != nil {
		return nil, err
	}
	b, err := json.Marshal(document{
		SpecVersion: cloudevents.CloudEventsVersionV1, ID: e.ID, Source: reference(e.Source), Type: e.Type, Subject: e.object(),
		DataContentType: cloudevents.ApplicationJSON, Time: e.Time.UTC(), Data: &e.Data, TraceParent: e.TraceParent,
	})
	if err != nil {
		return nil, fmt.Errorf("event %s: %w: %w", e.ID, ErrInvalid, err)
	}
	return b, nil
}

// reference is a source as the URI reference that it has to be, whatever a reconciler is named.
func reference(source string) string {
	u, err := url.Parse(source)
	if err != nil {
		u = &url.URL{Path: source}
	}
	return u.String()
}

// Decode reads what [Encode] wrote, whoever wrote it. Sequence is left 0. Fields
// of the data that this version does not know are ignored; everything else that
// is wrong is [ErrInvalid], in a text of at most 1 KiB.
func Decode(b []byte) (Event, error) {
	e, err := decode(b)
	if err != nil {
		return Event{}, brief{err}
	}
	return e, nil
}

// brief is an error with a text that does not grow with its input: errors of decoding
// repeat what they do not like.
type brief struct{ err error }

func (b brief) Unwrap() error { return b.err }

func (b brief) Error() string {
	const most = 1 << 10
	text := strings.ToValidUTF8(b.err.Error(), "\ufffd")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most-len("...")], "") + "..."
	}
	return text
}

func decode(b []byte) (Event, error) {
	var ce cloudevents.Event
	if err := json.Unmarshal(b, &ce); err != nil {
		return Event{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if err := ce.Validate(); err != nil {
		return Event{}, fmt.Errorf("%w: %s", ErrInvalid, faults(err))
	}
	if v := ce.SpecVersion(); v != cloudevents.CloudEventsVersionV1 {
		return Event{}, fmt.Errorf("%w: specversion %q, want %q", ErrInvalid, v, cloudevents.CloudEventsVersionV1)
	}
	e := Event{ID: ce.ID(), Type: ce.Type(), Source: ce.Source(), Object: ce.Subject(), Time: ce.Time()}
	e.TraceParent, _ = ce.Extensions()[traceParent].(string)
	// A JSON null would leave the zero Data and look like an event of the cluster.
	if data := bytes.TrimSpace(ce.Data()); len(data) == 0 || data[0] != '{' {
		return Event{}, fmt.Errorf("%w: event %s: data is not a JSON object", ErrInvalid, e.ID)
	}
	if err := json.Unmarshal(ce.Data(), &e.Data); err != nil {
		return Event{}, fmt.Errorf("%w: event %s: data: %w", ErrInvalid, e.ID, err)
	}
	if err := e.check(); err != nil {
		return Event{}, err
	}
	return e, nil
}

// CommandID is the message id of a command: the epoch, then a hash over all that
// tells one command from another, which is its server, unit, type and generation
// and the parts (the attempt, the time of a repeat). Equal ones are equal, so a
// repeat under one leader is dropped by the stream.
func (e Event) CommandID(parts ...string) string {
	h := sha256.New()
	var n [8]byte
	for _, s := range append([]string{e.Data.Server, e.Data.Unit, e.Type, e.Data.Generation}, parts...) {
		// The length keeps ("ab","c") and ("a","bc") apart.
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	return strconv.FormatUint(e.Data.Epoch, 10) + "-" + hex.EncodeToString(h.Sum(nil)[:16])
}

// object is what ends the subject.
func (e Event) object() string {
	switch {
	case e.Object != "":
		return e.Object
	case e.Data.Server != "":
		return e.Data.Server
	default:
		return ClusterServer
	}
}

func (e Event) check() error {
	for _, f := range []struct{ name, value string }{
		{"id", e.ID}, {"source", e.Source}, {"type", e.Type},
	} {
		if f.value == "" {
			return fmt.Errorf("%w: event %q of type %q has no %s", ErrInvalid, e.ID, e.Type, f.name)
		}
	}
	if e.Time.IsZero() {
		return fmt.Errorf("%w: event %s has no time", ErrInvalid, e.ID)
	}
	if y := e.Time.UTC().Year(); y < 0 || y > 9999 {
		return fmt.Errorf("%w: event %s: year %d cannot be written in RFC 3339", ErrInvalid, e.ID, y)
	}
	if strings.ContainsAny(e.ID, "\r\n") {
		return fmt.Errorf("%w: event id %q holds a line break", ErrInvalid, e.ID)
	}
	if strings.Contains(e.Type, ".") || strings.Contains(e.Data.Server, ".") {
		return fmt.Errorf("%w: event %s: type %q and server %q are one word each, without dots", ErrInvalid, e.ID, e.Type, e.Data.Server)
	}
	if subject := e.Subject(); !validSubject(subject) {
		return fmt.Errorf("%w: event %s: %q is not a NATS subject", ErrInvalid, e.ID, subject)
	}
	return nil
}

// validSubject reports whether s can be published on: non-empty words between dots,
// without wildcards, spaces and control characters.
func validSubject(s string) bool {
	for word := range strings.SplitSeq(s, ".") {
		if word == "" {
			return false
		}
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r == 0x7f || r == '*' || r == '>'
	})
}

// faults is the text of a validation with its faults sorted: the SDK keeps them in
// a map, and prints them in another order each time.
func faults(err error) string {
	var by cloudevents.ValidationError
	if !errors.As(err, &by) {
		return err.Error()
	}
	var out []string
	for _, attribute := range slices.Sorted(maps.Keys(by)) {
		out = append(out, fmt.Sprintf("%s: %s", attribute, strings.TrimSpace(by[attribute].Error())))
	}
	return strings.Join(out, "; ")
}
