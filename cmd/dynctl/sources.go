package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/state"
)

// source is one file of documents, or standard input.
type source struct {
	name string
	data []byte
}

// specExtensions are the files of a directory that hold documents.
var specExtensions = []string{".yaml", ".yml", ".json"}

// Bounds of what one command reads.
const (
	maxFile  = 16 << 20
	maxInput = 64 << 20
)

// reader reads files until there is too much of them.
type reader struct {
	ctx     context.Context //nolint:containedctx // lives for one call
	total   int
	sources []source
}

// readSources reads what the arguments name: files, directories (every .yaml,
// .yml and .json below except .schema.json), glob patterns, and "-" for standard input.
func (a *app) readSources(ctx context.Context, args []string) ([]source, error) {
	r := reader{ctx: ctx}
	for _, arg := range args {
		if arg == "-" {
			if err := r.read("<stdin>", interruptible{ctx, a.in}); err != nil {
				return nil, err
			}
			continue
		}
		paths, err := expand(arg)
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			if err := r.file(path); err != nil {
				return nil, err
			}
		}
	}
	return r.sources, nil
}

// interruptible reads what may never come, such as what is typed, until its context ends.
type interruptible struct {
	ctx  context.Context //nolint:containedctx // a reader's methods take none
	from io.Reader
}

// Read implements io.Reader. What comes after the context has ended is lost.
func (i interruptible) Read(p []byte) (int, error) {
	type result struct {
		n   int
		err error
	}
	read, buf := make(chan result, 1), make([]byte, len(p))
	go func() {
		n, err := i.from.Read(buf)
		read <- result{n, err}
	}()
	select {
	case <-i.ctx.Done():
		return 0, i.ctx.Err()
	case r := <-read:
		return copy(p, buf[:r.n]), r.err
	}
}

func (r *reader) file(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return exit.Usagef("%w", err)
	}
	defer f.Close()
	return r.read(path, f)
}

// read takes in one stream, and stops at one byte too many.
func (r *reader) read(name string, from io.Reader) error {
	if r.ctx.Err() != nil {
		return r.ctx.Err()
	}
	data, err := io.ReadAll(io.LimitReader(from, maxFile+1))
	if err != nil {
		return exit.Usagef("read %s: %w", name, err)
	}
	if len(data) > maxFile {
		return exit.Usagef("%s: the file has more than %d bytes: split it into several files", name, maxFile)
	}
	if r.total += len(data); r.total > maxInput {
		return exit.Usagef("%s: with this file there are more than %d bytes to read: name fewer files at once", name, maxInput)
	}
	r.sources = append(r.sources, source{name, data})
	return nil
}

// expand lists the files that one argument names.
func expand(arg string) ([]string, error) {
	info, err := os.Stat(arg)
	switch {
	case err == nil && info.IsDir():
		return specFiles(arg)
	case err == nil:
		return []string{arg}, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, exit.Usagef("%w", err)
	case !strings.ContainsAny(arg, "*?["):
		return nil, exit.Usagef("no such file or directory: %s", arg)
	}
	paths, err := filepath.Glob(arg)
	if err != nil {
		return nil, exit.Usagef("pattern %q: %w", arg, err)
	}
	if len(paths) == 0 {
		return nil, exit.Usagef("no file matches %s", arg)
	}
	return paths, nil
}

func specFiles(dir string) ([]string, error) {
	var paths []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != dir && strings.HasPrefix(d.Name(), "."):
			return filepath.SkipDir
		case strings.HasSuffix(d.Name(), ".schema.json"): // what editors check the others by
		case !d.IsDir() && slices.Contains(specExtensions, filepath.Ext(path)):
			paths = append(paths, path)
		}
		return nil
	})
	if err != nil {
		return nil, exit.Usagef("%w", err)
	}
	if len(paths) == 0 {
		return nil, exit.Usagef("%s holds no .yaml, .yml or .json file", dir)
	}
	return paths, nil
}

// deepest is how deep a stored value may be nested: what is a little less deep than Go's JSON
// takes cannot be written as part of a list, and would take all that stands in it along.
const deepest = 1000

// toJSON is a stored value as JSON; values may be YAML as well.
func toJSON(value []byte) (json.RawMessage, error) {
	if len(value) > state.MaxValueSize {
		return nil, fmt.Errorf("the value has %d bytes, and at most %d are read", len(value), state.MaxValueSize)
	}
	if json.Valid(value) && state.Depth(value) <= deepest {
		var b bytes.Buffer
		err := json.Compact(&b, value)
		return b.Bytes(), err
	}
	docs, err := state.DecodeAny("value", value)
	if err != nil {
		return nil, err
	}
	if len(docs) != 1 {
		return nil, fmt.Errorf("want one document, got %d", len(docs))
	}
	return docs[0].Raw, nil
}

// shown is a stored value as it is shown: as JSON, without the secrets of its URLs; null
// where it is no document.
func shown(value []byte) json.RawMessage {
	raw, err := toJSON(value)
	if err != nil {
		return nil
	}
	return state.RedactDocument(raw)
}

func sourceNames(sources []source) string {
	var names []string
	for _, s := range sources {
		names = append(names, s.name)
	}
	return strings.Join(names, ", ")
}
