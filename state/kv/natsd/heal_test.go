package natsd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// fullDir in the environment makes the test binary a server whose store fails and
// is written to again. fullFS names a small file system to fill for that; without
// it a limit on the size of files does, which needs no rights and fails writes alike:
//
//	mount -t tmpfs -o size=24m tmpfs /mnt && DYNCTL_TEST_FULL_FS=/mnt go test ./state/kv/natsd -run Store
const (
	fullDir = "DYNCTL_TEST_FULL_DIR"
	fullFS  = "DYNCTL_TEST_FULL_FS"
)

// A store that could not be written to is written to again once there is room,
// with all that was acknowledged, and every client is back by itself.
func TestAFailedStoreComesBack(t *testing.T) {
	dir := os.Getenv(fullFS)
	if dir == "" {
		dir = t.TempDir()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), fullDir+"="+filepath.Join(dir, "store"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestStoreFailedKnowsTheServersWords(t *testing.T) {
	for line, want := range map[string]bool{
		"JetStream stream '$G > KV_dynctl_specs' critical write error: write /d/1.blk: no space left on device": true,
		"Filestore [S] Critical write error: short write":                                                       true,
		"JetStream out of File resources, will be DISABLED":                                                     true,
		"JetStream stream 'x' could not be found":                                                               false,
	} {
		if storeFailed(line) != want {
			t.Errorf("%q: %v", line, !want)
		}
	}
}

// full makes writes fail until the function that it returns is called.
func full(dir string) (room func() error, err error) {
	if os.Getenv(fullFS) != "" {
		filler, err := os.Create(filepath.Join(filepath.Dir(dir), "filler"))
		if err != nil {
			return nil, err
		}
		for err == nil {
			_, err = filler.Write(make([]byte, 1<<16))
		}
		return func() error { return errors.Join(filler.Close(), os.Remove(filler.Name())) }, nil
	}
	signal.Ignore(syscall.SIGXFSZ)
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		return nil, err
	}
	limit := func(l syscall.Rlimit) error { return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &l) }
	return func() error { return limit(was) }, limit(syscall.Rlimit{Cur: 1 << 20, Max: was.Max})
}

// failAndComeBack is the child's part.
func failAndComeBack(dir string) (err error) {
	s, err := Start(Options{StoreDir: dir, Port: -1, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		return err
	}
	inside, err := s.Connect()
	if err != nil {
		return err
	}
	outside, err := nats.Connect(s.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		return err
	}
	w := &storing{ctx: context.Background()}
	for _, nc := range []*nats.Conn{inside, outside} {
		js, err := jetstream.New(nc)
		if err != nil {
			return err
		}
		w.clients = append(w.clients, js)
	}
	if _, err := w.clients[0].CreateStream(w.ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		return err
	}
	if err := w.back("a write before"); err != nil {
		return err
	}
	room, err := full(dir)
	if err != nil {
		return err
	}
	if err := w.fail(s); err != nil {
		return err
	}
	if err := room(); err != nil {
		return err
	}
	if err := w.back("writes again"); err != nil {
		return err
	}
	if err := w.acknowledged(); err != nil {
		return err
	}
	inside.Close()
	outside.Close()
	return s.Shutdown(w.ctx)
}

// storing are clients that write, with what was acknowledged.
type storing struct {
	ctx     context.Context
	clients []jetstream.JetStream
	acked   []uint64
}

// fail writes until the store takes nothing more, and wants it to stay so and to be told.
func (w *storing) fail(s *Server) error {
	for w.store(w.clients[0]) {
	}
	for end := time.Now().Add(3 * healEvery); time.Now().Before(end); {
		if w.store(w.clients[0]) {
			return errors.New("it stores though there is no room")
		}
	}
	// A limit on files, as a quota, leaves the disk free: it is not called full.
	d, err := s.Disk()
	if err != nil {
		return err
	}
	if !d.Failed || !d.Full || d.Refusal == nil || d.Low != (os.Getenv(fullFS) != "") {
		return fmt.Errorf("the disk of a store that has failed is %+v", d)
	}
	return nil
}

// acknowledged wants all that was acknowledged to be there.
func (w *storing) acknowledged() error {
	stream, err := w.clients[0].Stream(w.ctx, "S")
	if err != nil {
		return err
	}
	for _, seq := range w.acked {
		if _, err := stream.GetMsg(w.ctx, seq); err != nil {
			return fmt.Errorf("message %d was acknowledged: %w", seq, err)
		}
	}
	return nil
}

// store writes once and reports whether that was acknowledged.
func (w *storing) store(js jetstream.JetStream) bool {
	ctx, cancel := context.WithTimeout(w.ctx, time.Second)
	defer cancel()
	ack, err := js.Publish(ctx, "s", []byte(strings.Repeat("x", 1<<16)))
	if err == nil {
		w.acked = append(w.acked, ack.Sequence)
	}
	return err == nil
}

// back writes through every client, each until it succeeds.
func (w *storing) back(what string) error {
	end := time.Now().Add(30 * time.Second)
	for _, js := range w.clients {
		for !w.store(js) {
			if time.Now().After(end) {
				return fmt.Errorf("not within 30 s: %s", what)
			}
		}
	}
	return nil
}
