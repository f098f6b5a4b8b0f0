package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"dynctl/cmd/dynctl/internal/prose"
	"dynctl/state"
	"dynctl/state/kv"
)

// objectInfo is one item of `dynctl get servers|models -o json`.
type objectInfo struct {
	Name   string `json:"name"`
	Server string `json:"server"`
	// Revision is 0, and Document null, for an object that is being deleted or a
	// server that exists only because it has models.
	Revision uint64    `json:"revision"`
	Modified time.Time `json:"modified,omitzero"`
	Author   string    `json:"author,omitempty"`
	// Document is the spec as it was written.
	Document json.RawMessage `json:"document"`
	// Status is what the reconciler says; null until it has seen the object.
	Status *state.Status `json:"status"`
}

// objects are the specs of a kind joined with their statuses, sorted.
func (a *app) objects(ctx context.Context, c *kv.Client, kind string) ([]objectInfo, error) {
	s, err := readStored(ctx, c)
	if err != nil {
		return nil, err
	}
	return a.objectsOf(s, kind), nil
}

// objectsOf are those of what was read.
func (a *app) objectsOf(read stored, kind string) []objectInfo {
	byKey := map[state.Key]*objectInfo{}
	at := func(key string) *objectInfo {
		k, err := state.ParseKey(key)
		if err != nil || k.Kind != kind || a.conn.server != "" && a.conn.server != k.Server {
			return nil
		}
		if byKey[k] == nil {
			byKey[k] = &objectInfo{Name: refOf(k).name, Server: k.Server}
		}
		return byKey[k]
	}
	for _, e := range read.specs {
		if e.Deleted {
			continue
		}
		if o := at(e.Key); o != nil {
			o.Revision, o.Modified, o.Author = e.Revision, e.At, e.Author
			// A value that is no document has none; its status says what is wrong.
			o.Document = shown(e.Value)
		}
	}
	for _, s := range read.statuses {
		if o := at(s.Key); o != nil {
			s.AcceptedSpec, s.Template = nil, nil
			s.Conditions = orEmpty(s.Conditions)
			o.Status = &s
		}
	}
	return sortedObjects(byKey)
}

func sortedObjects(byKey map[state.Key]*objectInfo) []objectInfo {
	var keys []state.Key
	for k := range byKey {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, state.Key.Compare)
	infos := []objectInfo{}
	for _, k := range keys {
		infos = append(infos, *byKey[k])
	}
	return infos
}

func (a *app) getObjects(ctx context.Context, c *kv.Client, kind string, names []string) (listing, error) {
	infos, err := a.objects(ctx, c, kind)
	if err != nil {
		return listing{}, err
	}
	singular := map[string]string{state.KindServer: "server", state.KindModel: "model"}[kind]
	infos, err = selectNamed(singular, infos, names, func(o objectInfo) string { return o.Name })
	l := listing{items: orEmpty(infos)}
	if kind == state.KindServer {
		l.table.add("SERVER", "STATE", "ENDPOINT", "ROUTER", "REVISION", "SINCE")
		l.table.spare = []int{4, 3}
	} else {
		l.table.add("MODEL", "SERVER", "STATE", "READY", "WORKERS", "GENERATION", "REVISION", "SINCE")
		l.table.spare = []int{3, 5, 6}
		if oneServer(infos, func(o objectInfo) string { return o.Server }) {
			l.table.spare = append(l.table.spare, 1)
		}
	}
	for _, o := range infos {
		l.names = append(l.names, singular+"/"+o.Name)
		s := o.Status
		if s == nil {
			s = &state.Status{}
		}
		v := judge(s, a.now())
		word, since := a.style.coloured(v.Verdict), prose.Age(a.now(), v.Since)
		if kind == state.KindServer {
			l.table.add(o.Name, word, prose.OrDash(s.Endpoint), routing(s.Router), count(o.Revision), since)
			continue
		}
		l.table.add(o.Name, o.Server, word, condition(s, state.CondReady), workers(s.Roles), prose.OrDash(s.Generation), revisions(o), since)
	}
	return l, err
}

// revisions is the revision of the spec, and the accepted one where it differs.
func revisions(o objectInfo) string {
	text := count(o.Revision)
	if o.Status != nil && o.Status.AcceptedRevision != 0 && o.Status.AcceptedRevision != o.Revision {
		text += fmt.Sprintf(" (%d runs)", o.Status.AcceptedRevision)
	}
	return text
}

// count is a number of which 0 means that there is none.
func count[T int | uint64](n T) string {
	if n == 0 {
		return "-"
	}
	return strconv.FormatUint(uint64(n), 10)
}
