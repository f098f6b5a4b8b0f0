package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/state"
	"dynctl/state/kv"
)

// changedMeanwhile tells who was faster, as far as that can be read.
func changedMeanwhile(ctx context.Context, c *kv.Client, key state.Key) error {
	return exit.Errorf(exit.Conflict, "%s was changed by somebody else in the meantime%s: look at it with `dynctl history %s`, then do this again",
		refOf(key), newest(ctx, c, key), refOf(key))
}

// newest names the newest revision of an object, " (revision 7 by USER: COMMENT)"; "" where
// it cannot be read.
func newest(ctx context.Context, c *kv.Client, key state.Key) string {
	entries, err := c.SpecHistory(ctx, key)
	if err != nil {
		return ""
	}
	e := entries[len(entries)-1]
	text := fmt.Sprintf(" (revision %d", e.Revision)
	if e.Author != "" {
		text += " by " + e.Author
	}
	if e.Deleted {
		text += ", a deletion"
	}
	if e.Comment != "" {
		text += ": " + e.Comment
	}
	return text + ")"
}

// asked is a document that stands in the store since its revision.
type asked struct {
	revision uint64 // 0: nothing particular is asked for
	doc      state.Doc
}

// isReplaced reports whether something else stands there now, and the goal was not
// reached before that. Other counts and a restart ask for the same: a program that
// scales must not end the wait of who deploys.
func (a asked) isReplaced(key state.Key, g goal, now found) bool {
	switch s := now.status; {
	case a.revision == 0, now.revision == 0, now.revision == a.revision:
		return false
	case s != nil && s.ObservedRevision == a.revision && condition(s, g.typ) == g.status:
		return false
	}
	doc, err := state.DecodeValue(key, now.value)
	return err != nil || !bytes.Equal(lasting(a.doc), lasting(doc))
}

// lasting is what a document asks for without what is written beside deployments:
// counts and a restart.
func lasting(doc state.Doc) []byte {
	object := any(doc.Object.Server)
	if doc.Object.Model != nil {
		m := doc.Object.Model.WithDefaults()
		m.Spec.Replicas, m.Spec.Restart = nil, ""
		for _, role := range []*state.RoleSpec{m.Spec.Prefill, m.Spec.Decode} {
			if role != nil {
				role.Replicas = nil
			}
		}
		object = m
	}
	text, err := json.Marshal(object)
	if err != nil {
		panic("decoded object does not encode: " + err.Error())
	}
	return text
}
