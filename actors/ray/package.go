package ray

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"dynctl/actors/agent"
)

// wheels is what `make agent-deps` has put into deps. A build without it carries
// no wheel, and the agent then relies on the cluster's own nats-py.
//
//go:embed deps
var wheels embed.FS

// Package is the agent as Ray takes it: a zip with its files at the root.
type Package struct {
	// Hash names the content: equal files have equal hashes, whatever packed them.
	Hash string
	// Zip is what is uploaded.
	Zip []byte
	// Wheels are the file names of the dependencies that travel in it; none: the
	// cluster's Python has to have nats-py.
	Wheels []string
}

// URI is the package's address inside the cluster.
func (p Package) URI() string { return "gcs://" + p.name() }

func (p Package) name() string { return "_ray_pkg_" + p.Hash + ".zip" }

// AgentPackage packs the agent that this program was built with. Errors: ErrDeps.
func AgentPackage() (Package, error) { return NewPackage(agent.Sources, wheels) }

// NewPackage packs the files of sources, and the content of the wheels (*.whl) in
// deps beside them. A dependency never replaces a file of the sources.
// Errors: ErrDeps, or what reading says.
func NewPackage(sources, deps fs.FS) (Package, error) {
	files := map[string][]byte{}
	var names []string
	err := eachFile(deps, func(name string, content []byte) error {
		if path.Ext(name) != ".whl" {
			return nil
		}
		names = append(names, path.Base(name))
		return unpackWheel(name, content, files)
	})
	if err != nil {
		return Package{}, err
	}
	err = eachFile(sources, func(name string, content []byte) error {
		files[name] = content
		return nil
	})
	if err != nil {
		return Package{}, err
	}
	packed, err := pack(files)
	if err != nil {
		return Package{}, err
	}
	return Package{Hash: hashOf(files), Zip: packed, Wheels: names}, nil
}

// eachFile visits all files but caches of Python, in order of their names.
func eachFile(tree fs.FS, visit func(name string, content []byte) error) error {
	return fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || notPacked(name) {
			return err
		}
		content, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		return visit(name, content)
	})
}

func notPacked(name string) bool {
	return strings.Contains("/"+name, "/__pycache__/") || path.Ext(name) == ".pyc"
}

func unpackWheel(name string, content []byte, into map[string][]byte) error {
	r, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return fmt.Errorf("%w: %s: %w: run `make agent-deps` again", ErrDeps, name, err)
	}
	return eachFile(r, func(file string, content []byte) error {
		if path.Ext(file) == ".so" {
			return fmt.Errorf("%w: %s holds %s: only pure Python can travel to any node", ErrDeps, name, file)
		}
		into[file] = content
		return nil
	})
}

// pack makes the same bytes of the same files: sorted, without times or modes of
// their own.
func pack(files map[string][]byte) ([]byte, error) {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate})
		if err != nil {
			return nil, fmt.Errorf("pack %s: %w", name, err)
		}
		if _, err := f.Write(files[name]); err != nil {
			return nil, fmt.Errorf("pack %s: %w", name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("pack the agent: %w", err)
	}
	return out.Bytes(), nil
}

// hashOf is over names and contents, not over the zip: a compressor that packs
// otherwise makes no new version of the agent.
func hashOf(files map[string][]byte) string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		for _, part := range [][]byte{[]byte(name), files[name]} {
			_ = binary.Write(h, binary.BigEndian, uint64(len(part))) // a hash never fails
			_, _ = io.Copy(h, bytes.NewReader(part))
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
