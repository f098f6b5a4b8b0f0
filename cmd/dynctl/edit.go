package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/state"
	"dynctl/state/kv"
)

// editTries is how often an edit is made anew because somebody else wrote first. Each
// time one of the others got through, so that this many of them do not starve anybody.
const editTries = 50

// edit changes fields of the stored document of an object and writes it back on
// the condition that nobody else wrote in the meantime. It keeps the rest as the
// user wrote it. If somebody did, the change is made to what they wrote: neither
// is lost.
func (a *app) edit(ctx context.Context, arg, comment string, change func(*document) error) error {
	return a.onObject(ctx, arg, func(c *kv.Client, key state.Key) error {
		if key.Kind != state.KindModel {
			return exit.Usagef("%s: only a model has this setting", refOf(key))
		}
		e := editing{app: a, client: c, key: key, comment: comment, change: change}
		err := e.once(ctx)
		for try := 1; try < editTries && errors.Is(err, kv.ErrConflict); try++ {
			err = e.once(ctx)
		}
		if errors.Is(err, kv.ErrConflict) {
			return exit.Errorf(exit.Conflict, "%s is changed by others again and again: see by whom with `dynctl history %s`", refOf(key), refOf(key))
		}
		return err
	})
}

// editing is one change of one object.
type editing struct {
	*app
	client  *kv.Client
	key     state.Key
	comment string
	change  func(*document) error
}

// once changes what stands there now. The error is [kv.ErrConflict] where somebody
// else was faster.
func (e *editing) once(ctx context.Context) error {
	name := refOf(e.key)
	entry, err := e.client.GetSpec(ctx, e.key)
	if err != nil {
		return exit.Stored(err)
	}
	doc, err := newDocument(entry.Value)
	if err != nil {
		return exit.Usagef("%s: the stored document cannot be read: %w; rewrite it with `dynctl set`", name, err)
	}
	before := string(doc.bytes())
	if err := e.change(doc); err != nil {
		return err
	}
	if string(doc.bytes()) == before {
		_, err = fmt.Fprintf(e.out, "%s unchanged\n", name)
		return err
	}
	if err := validateEdit(ctx, e.client, e.key, doc.bytes()); err != nil {
		return err
	}
	revision, err := e.client.PutSpec(ctx, e.key, doc.bytes(), kv.PutOptions{IfRevision: &entry.Revision, Author: author(), Comment: e.comment})
	if err != nil {
		return exit.Stored(err)
	}
	_, err = fmt.Fprintf(e.out, "%s configured (revision %d)\n", name, revision)
	return err
}

// document is a JSON object that is edited without losing the order of its keys.
type document struct{ root state.Args }

func newDocument(value []byte) (*document, error) {
	raw, err := toJSON(value)
	if err != nil {
		return nil, err
	}
	d := &document{}
	if err := json.Unmarshal(raw, &d.root); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *document) bytes() []byte {
	raw, err := d.root.MarshalJSON()
	if err != nil {
		panic("document of decoded JSON does not encode: " + err.Error())
	}
	return raw
}

// get decodes the value at a path into dst and reports whether there is one.
func (d *document) get(dst any, path ...string) bool {
	args := d.root
	for i, key := range path {
		raw, ok := args.Get(key)
		if !ok {
			return false
		}
		if i == len(path)-1 {
			return json.Unmarshal(raw, dst) == nil
		}
		args = nil
		if json.Unmarshal(raw, &args) != nil {
			return false
		}
	}
	return false
}

// set puts a value at a path and makes the objects on the way.
func (d *document) set(value any, path ...string) error {
	root, err := setIn(d.root, value, path)
	if err == nil {
		d.root = root
	}
	return err
}

func setIn(args state.Args, value any, path []string) (state.Args, error) {
	key := path[0]
	if len(path) == 1 {
		raw, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", key, err)
		}
		return args.Clone().With(key, raw), nil
	}
	var inner state.Args
	if old, ok := args.Get(key); ok {
		if err := json.Unmarshal(old, &inner); err != nil {
			return nil, exit.Usagef("%s is no mapping", key)
		}
	}
	inner, err := setIn(inner, value, path[1:])
	if err != nil {
		return nil, err
	}
	raw, err := inner.MarshalJSON()
	return args.Clone().With(key, raw), err
}
