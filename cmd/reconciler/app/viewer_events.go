package app

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"dynctl/events"
	"dynctl/state/kv"
	"dynctl/state/roles"
)

// readingForOthers is how this reconciler reads for users apart from the store.
var readingForOthers = kv.Reading{
	Hide:   forViewers,
	Others: map[string]func(context.Context, jetstream.JetStream, roles.User, []byte) (any, error){events.Stream: readEvents},
}

// Bounds of one answer.
const (
	maxReadEvents     = 500
	maxReadEventBytes = 1 << 20
)

// readEvents reads events for a user apart from the store: facts, for a publisher those of
// its servers, for a viewer without what logs say.
func readEvents(ctx context.Context, js jetstream.JetStream, user roles.User, request []byte) (any, error) {
	var r events.ReadRequest
	if err := json.Unmarshal(request, &r); err != nil {
		return nil, err
	}
	o := events.TailOptions{FromSeq: r.After + 1, Since: r.Since}
	if len(user.Servers) == 1 {
		o.Server = user.Servers[0]
	}
	reply := events.ReadReply{Events: []events.ReadEvent{}, Last: r.After}
	size := 0
	for e, err := range events.Tail(ctx, js, o) {
		switch {
		case errors.Is(err, events.ErrInvalid): // it may hold anything
			reply.Last = max(reply.Last, e.Sequence)
			continue
		case err != nil:
			return nil, err
		}
		reply.Last = e.Sequence
		if body := forReader(user, e); body != nil {
			reply.Events = append(reply.Events, events.ReadEvent{Sequence: e.Sequence, Body: body})
			size += len(body)
		}
		if len(reply.Events) == maxReadEvents || size > maxReadEventBytes {
			reply.More = true
			break
		}
	}
	return reply, nil
}

// forReader is an event as a user may see it; nil: not at all.
func forReader(user roles.User, e events.Event) []byte {
	if events.IsCommand(e.Type) || user.Role == roles.Publisher && !slices.Contains(user.Servers, e.Data.Server) {
		return nil
	}
	if user.Role == roles.Viewer && e.Data.Detail != nil {
		var detail any
		if json.Unmarshal(e.Data.Detail, &detail) != nil {
			return nil
		}
		e.Data.Detail, _ = json.Marshal(withoutSecretsOf(detail)) // it was JSON
		e.Data.Message = e.Data.Reason
	}
	body, err := events.Encode(e)
	if err != nil {
		return nil
	}
	return body
}
