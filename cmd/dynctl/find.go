package main

import (
	"context"
	"slices"
	"strings"

	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/state"
	"dynctl/state/kv"
)

// find turns a reference into the key of an object that has a spec or still has a
// status. A model is looked for on every server unless --server says which.
func (a *app) find(ctx context.Context, c *kv.Client, r ref) (state.Key, error) {
	keys, err := allKeys(ctx, c)
	if err != nil {
		return state.Key{}, err
	}
	return a.findIn(keys, r)
}

// findIn is find among the keys that there are.
func (a *app) findIn(keys []state.Key, r ref) (state.Key, error) {
	if r.kind == state.KindServer {
		key := state.ServerKey(r.name)
		return key, exists(keys, key)
	}
	if a.conn.server != "" {
		key := state.ModelKey(a.conn.server, r.name)
		return key, exists(keys, key)
	}
	var found []state.Key
	for _, k := range keys {
		if k.Kind == state.KindModel && k.Name == r.name {
			found = append(found, k)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return state.Key{}, missing(r.String(), keys)
	}
	var servers []string
	for _, k := range found {
		servers = append(servers, k.Server)
	}
	return state.Key{}, exit.Usagef("%s exists on servers %s: say which with --server", r, strings.Join(servers, ", "))
}

func exists(keys []state.Key, key state.Key) error {
	if slices.Contains(keys, key) {
		return nil
	}
	name := refOf(key).String()
	if key.Kind == state.KindModel {
		name += " on server " + key.Server
	}
	return missing(name, keys)
}

// missing says what there is instead of what was asked for.
func missing(name string, keys []state.Key) error {
	var have []string
	for _, k := range keys {
		have = append(have, refOf(k).String())
	}
	have = slices.Compact(slices.Sorted(slices.Values(have)))
	switch {
	case len(have) == 0:
		return exit.NotFoundf("%s not found: nothing is declared yet (see %q)", name, "dynctl set --help")
	case len(have) > 8:
		return exit.NotFoundf("%s not found: there are %s and %d more (see %q)", name, strings.Join(have[:8], ", "), len(have)-8, "dynctl get models")
	}
	return exit.NotFoundf("%s not found: there is %s", name, strings.Join(have, ", "))
}

// withClient connects, calls f and closes the connection.
func (a *app) withClient(ctx context.Context, f func(*kv.Client) error) error {
	c, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	return f(c)
}

// onObject connects, finds the object that arg names and calls f.
func (a *app) onObject(ctx context.Context, arg string, f func(*kv.Client, state.Key) error) error {
	r, err := parseRef(arg)
	if err != nil {
		return err
	}
	return a.withClient(ctx, func(c *kv.Client) error {
		key, err := a.find(ctx, c, r)
		if err != nil {
			return err
		}
		return f(c, key)
	})
}
