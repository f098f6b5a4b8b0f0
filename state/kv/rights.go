package kv

import (
	"context"
	"encoding/json"

	"dynctl/state/roles"
)

// subjectUserInfo is where a NATS tells a user of its permissions.
const subjectUserInfo = "$SYS.REQ.USER.INFO"

// MissingRights are the subjects that this user would have to be allowed for a role and is
// not, "publish SUBJECT" and "subscribe SUBJECT". A NATS that does not tell, and a user
// without permissions of its own, lack nothing.
func (c *Client) MissingRights(ctx context.Context, u roles.User) []string {
	nc := c.js.Conn()
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return nil
	}
	defer func() { _ = sub.Unsubscribe() }() // the connection is gone where it fails
	if nc.PublishRequest(subjectUserInfo, inbox, nil) != nil || refused(ctx, nc, subjectUserInfo, inbox) != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, checksPatience)
	defer cancel()
	m, err := sub.NextMsgWithContext(ctx)
	if err != nil {
		return nil
	}
	var reply struct {
		Data struct {
			Permissions *struct {
				Publish, Subscribe *rights
			} `json:"permissions"`
		} `json:"data"`
	}
	if json.Unmarshal(m.Data, &reply) != nil || reply.Data.Permissions == nil {
		return nil
	}
	want := roles.Of(u)
	return append(reply.Data.Permissions.Publish.lack("publish ", want.Publish), reply.Data.Permissions.Subscribe.lack("subscribe ", want.Subscribe)...)
}

// rights are subjects that are allowed, all if none are named, and those taken out again.
type rights struct{ Allow, Deny []string }

func (r *rights) lack(verb string, want []string) []string {
	if r == nil {
		return nil
	}
	var out []string
	for _, subject := range want {
		if !r.hold(subject) {
			out = append(out, verb+subject)
		}
	}
	return out
}

func (r *rights) hold(subject string) bool {
	held := len(r.Allow) == 0
	for _, allowed := range r.Allow {
		held = held || within(subject, allowed)
	}
	for _, denied := range r.Deny {
		held = held && !within(subject, denied)
	}
	return held
}
