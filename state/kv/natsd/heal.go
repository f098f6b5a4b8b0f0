package natsd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// A stream whose file could not be written to refuses every write from then on,
// for the life of the server, and out of space JetStream ends itself. Both stay so
// when the disk has room again. The embedded server is then started again in
// place: on the same port and directory, with what was acknowledged before.

const (
	// healEvery is how often the server is looked at.
	healEvery = time.Second
	// room is what a restart waits for: the largest message fits.
	room = MaxPayload
)

// storeFailed reports whether a line of the server's log tells of a store that will not
// be written to any more. The server tells it nowhere else.
func storeFailed(line string) bool {
	line = strings.ToLower(line)
	return strings.Contains(line, "critical write error") || strings.Contains(line, "jetstream out of")
}

// keepStoring restarts the server until ctx ends whenever its store has failed and
// there is room again.
func (s *Server) keepStoring(ctx context.Context) {
	tick := time.NewTicker(healEvery)
	defer tick.Stop()
	told := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !s.Failed() {
			told = ""
			s.refusal.Store(nil)
			continue
		}
		err := hasRoom(s.opts.StoreDir)
		if err == nil {
			if err = s.restart(); err == nil {
				s.opts.Log.Info("the embedded NATS stores again", "dir", s.opts.StoreDir)
				continue
			}
		}
		s.refusal.Store(&err)
		if told != err.Error() {
			s.opts.Log.Error("the embedded NATS cannot store; specs and events are refused until it can, what runs keeps running",
				"dir", s.opts.StoreDir, "err", err, "fix", "free some disk space, or make the directory one that can be written to (mount, quota, inodes, device); it starts again by itself")
			told = err.Error()
		}
	}
}

// restart replaces the server. Clients, in-process ones included, reconnect.
func (s *Server) restart() error {
	s.opts.Log.Warn("the embedded NATS is started again, because its store had failed", "dir", s.opts.StoreDir)
	old := s.current()
	old.Shutdown()
	old.WaitForShutdown()
	s.failed.Store(false)
	ns, err := run(s.opts, &s.failed)
	if err != nil {
		s.failed.Store(true)
		return err
	}
	s.mu.Lock()
	s.ns = ns
	s.mu.Unlock()
	return nil
}

// current is the server that runs.
func (s *Server) current() *server.Server {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.ns
}

// InProcessConn connects to the server that runs; it is for the client library,
// which calls it for each connection.
func (s *Server) InProcessConn() (net.Conn, error) { return s.current().InProcessConn() }

// hasRoom fails unless a file of some size can be written: what is free by the
// file system's own word may be out of reach of this process.
func hasRoom(dir string) (err error) {
	name := filepath.Join(dir, "dynctl.room")
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("no file can be written: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(name)) }()
	zeros := make([]byte, 1<<20)
	for range room / len(zeros) {
		if _, err := f.Write(zeros); err != nil {
			return fmt.Errorf("no file can be written: %w", err)
		}
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("no file can be written: %w", err)
	}
	return nil
}

// Disk is what a store's disk is like.
type Disk struct {
	// Dir is the store's directory.
	Dir string
	// Free is how many bytes this process may still write there.
	Free uint64
	// Failed: a write has failed, and all are refused until there is room again.
	Failed bool
	// Low: so little is free that the next writes may fail. It holds until there is some
	// room above that.
	Low bool
	// Full: Failed or Low.
	Full bool
	// Refusal is what the last attempt to write there came to, where Failed; nil: none
	// was made yet.
	Refusal error
}

// How little is free when the disk counts as low, in bytes, and how much when it does
// not any more. It is told while there is still room to write that.
const (
	lowBelow   = 16 << 20
	roomyAbove = 24 << 20
)

// Failed reports whether the store refuses all writes, without a look at the disk.
func (s *Server) Failed() bool { return s.failed.Load() || !s.current().JetStreamEnabled() }

// Disk looks at the disk of the store.
func (s *Server) Disk() (Disk, error) {
	d := Disk{Dir: s.opts.StoreDir, Failed: s.Failed()}
	if err := s.refusal.Load(); d.Failed && err != nil {
		d.Refusal = *err
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(d.Dir, &fs); err != nil {
		return d, fmt.Errorf("free space of %s: %w", d.Dir, err)
	}
	d.Free = fs.Bavail * uint64(fs.Bsize)
	switch {
	case d.Free >= roomyAbove:
		s.low.Store(false)
	case d.Failed || d.Free < lowBelow:
		s.low.Store(true)
	}
	d.Low = s.low.Load()
	d.Full = d.Failed || d.Low
	return d, nil
}
