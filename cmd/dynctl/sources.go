package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// source is one file of documents, or standard input.
type source struct {
	name string
	data []byte
}

// specExtensions are the files of a directory that hold documents.
var specExtensions = []string{".yaml", ".yml", ".json"}

// readSources reads what the arguments name: files, directories (every .yaml,
// .yml and .json below except .schema.json), glob patterns, and "-" for standard input.
func (a *app) readSources(args []string) ([]source, error) {
	var sources []source
	for _, arg := range args {
		if arg == "-" {
			data, err := io.ReadAll(a.in)
			if err != nil {
				return nil, usageErr("read standard input: %w", err)
			}
			sources = append(sources, source{"<stdin>", data})
			continue
		}
		paths, err := expand(arg)
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				return nil, usageErr("%w", err)
			}
			sources = append(sources, source{path, data})
		}
	}
	return sources, nil
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
		return nil, usageErr("%w", err)
	case !strings.ContainsAny(arg, "*?["):
		return nil, usageErr("no such file or directory: %s", arg)
	}
	paths, err := filepath.Glob(arg)
	if err != nil {
		return nil, usageErr("pattern %q: %w", arg, err)
	}
	if len(paths) == 0 {
		return nil, usageErr("no file matches %s", arg)
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
		return nil, usageErr("%w", err)
	}
	if len(paths) == 0 {
		return nil, usageErr("%s holds no .yaml, .yml or .json file", dir)
	}
	return paths, nil
}

// documents are the documents of a source that need not be specs, as JSON.
func (s source) documents() ([]json.RawMessage, error) {
	if json.Valid(s.data) {
		var b bytes.Buffer
		if err := json.Compact(&b, s.data); err != nil {
			return nil, usageErr("%s: %w", s.name, err)
		}
		return []json.RawMessage{b.Bytes()}, nil
	}
	var docs []json.RawMessage
	dec := yaml.NewDecoder(bytes.NewReader(s.data), yaml.UseOrderedMap())
	for {
		var v any
		err := dec.Decode(&v)
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			return nil, usageErr("%s: %s", s.name, yaml.FormatError(err, false, true))
		}
		if v == nil {
			continue
		}
		doc, err := yaml.MarshalWithOptions(v, yaml.JSON())
		if err != nil {
			return nil, usageErr("%s: %w", s.name, err)
		}
		docs = append(docs, bytes.TrimSpace(doc))
	}
}

// toJSON is a stored value as JSON; values may be YAML as well.
func toJSON(value []byte) (json.RawMessage, error) {
	docs, err := source{"value", value}.documents()
	if err != nil {
		return nil, err
	}
	if len(docs) != 1 {
		return nil, fmt.Errorf("want one document, got %d", len(docs))
	}
	return docs[0], nil
}

func sourceNames(sources []source) string {
	var names []string
	for _, s := range sources {
		names = append(names, s.name)
	}
	return strings.Join(names, ", ")
}
