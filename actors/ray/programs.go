package ray

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// programNames are what the infra unit executes beside Dynamo's frontend. They are the
// agent's BINARIES too (common/programs.py).
var programNames = []string{"etcd", "nats-server"}

// Programs are etcd and nats-server for nodes that have none: files of this machine, which
// travel as a package in Ray's store when an agent asks for it.
type Programs struct {
	hash string
	dir  string
}

// ErrPrograms means that the programs cannot be read, or are no longer those that the
// agent was told of.
var ErrPrograms = errors.New("the programs for the nodes")

// FindPrograms looks for them in a directory. The zero value: they are not all there.
// Errors: ErrPrograms.
func FindPrograms(dir string) (Programs, error) {
	files, err := readPrograms(dir)
	if err != nil || files == nil {
		return Programs{}, err
	}
	return Programs{hashOf(files), dir}, nil
}

// URI is the address of their package inside the cluster; "" where there is none.
func (p Programs) URI() string {
	if p.hash == "" {
		return ""
	}
	return Package{Hash: p.hash}.URI()
}

func (p Programs) name() string { return Package{Hash: p.hash}.name() }

// zip packs them, from the files as they are now. Errors: ErrPrograms.
func (p Programs) zip() ([]byte, error) {
	files, err := readPrograms(p.dir)
	if err != nil {
		return nil, err
	}
	if files == nil || hashOf(files) != p.hash {
		return nil, fmt.Errorf("%w: those in %s have changed: start the reconciler again", ErrPrograms, p.dir)
	}
	return pack(files)
}

// readPrograms are their contents by name; nil where one is missing.
func readPrograms(dir string) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, name := range programNames {
		content, err := os.ReadFile(filepath.Join(dir, name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, nil
		case err != nil:
			return nil, fmt.Errorf("%w: %w", ErrPrograms, err)
		}
		files[name] = content
	}
	return files, nil
}

// pinAgain is how often Ray is asked for a package that is wanted: it keeps one that nothing
// refers to for ten minutes after a question.
const pinAgain = time.Minute

// carry puts the programs into Ray's store while the agent asks for them. What fails is
// told, and tried again a second later.
func (s *Supervisor) carry(ctx context.Context, beat Heartbeat) {
	if beat.Wants == "" || beat.Wants != s.cfg.Programs.URI() || time.Now().Before(s.carryAt) {
		return
	}
	s.carryAt = time.Now().Add(pinAgain)
	began := time.Now()
	made, err := s.client.upload(ctx, "upload etcd and nats-server", s.cfg.Programs.name(), s.cfg.Programs.zip)
	switch {
	case err != nil:
		s.carryAt = time.Now().Add(time.Second)
		s.cfg.Log.Warn("etcd and nats-server do not reach the Ray cluster", "err", err,
			"fix", "install them on the Ray nodes, or name their directory with --bin-dir")
	case made:
		s.cfg.Log.Info("etcd and nats-server are in the Ray cluster's store, for nodes that have none", "package", beat.Wants, "took", time.Since(began).Round(time.Millisecond))
	}
}
