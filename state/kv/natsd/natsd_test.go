package natsd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dynctl/state/kv/natsd/leaktest"
)

// crashDir in the environment makes the test binary a server that writes until
// it is killed.
const crashDir = "DYNCTL_TEST_CRASH_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		writeUntilKilled(dir)
		return
	}
	if dir := os.Getenv(fullDir); dir != "" {
		if err := failAndComeBack(dir); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	leaktest.Main(m)
}

func start(t *testing.T, o Options) *Server {
	t.Helper()
	if o.Port == 0 {
		o.Port = -1
	}
	s, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	return s
}

func stop(t *testing.T, s *Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil && !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
}

func TestStartRefuses(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	held := start(t, Options{StoreDir: t.TempDir()})
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	broken := t.TempDir() // JetStream's own directory is a file
	if err := os.WriteFile(filepath.Join(broken, "jetstream"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	early := func(*Options) error { return errors.New("prepared for a directory of another") }
	rows := []struct {
		name string
		o    Options
		want error
		says string
	}{
		{"busy port", Options{StoreDir: t.TempDir(), Port: busy.Addr().(*net.TCPAddr).Port}, ErrPortBusy, "--listen"},
		{"foreign address", Options{StoreDir: t.TempDir(), Port: -1, Host: "192.0.2.1"}, ErrPortBusy, "--listen"},
		{"no directory", Options{Port: -1}, ErrStoreDir, "--data-dir"},
		{"a file as directory", Options{StoreDir: file, Port: -1}, ErrStoreDir, "--data-dir"},
		{"a file inside", Options{StoreDir: broken, Port: -1}, ErrStoreDir, broken},
		{"held directory", Options{StoreDir: held.opts.StoreDir, Port: -1, Prepare: early}, ErrStoreBusy, fmt.Sprint("pid ", os.Getpid())},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			s, err := Start(row.o)
			if err == nil {
				stop(t, s)
			}
			if !errors.Is(err, row.want) || !strings.Contains(err.Error(), row.says) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestCredentials(t *testing.T) {
	s := start(t, Options{StoreDir: t.TempDir(), Username: "me", Password: "secret"})
	nc, err := s.Connect()
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
	if nc, err := nats.Connect(s.URL()); err == nil {
		nc.Close()
		t.Error("connected without credentials")
	}
	nc, err = nats.Connect(s.URL(), nats.UserInfo("me", "secret"))
	if err != nil {
		t.Fatal(err)
	}
	if nc.MaxPayload() != MaxPayload {
		t.Errorf("payload %d", nc.MaxPayload())
	}
	nc.Close()
}

func TestShutdownFreesTheDirectory(t *testing.T) {
	dir := t.TempDir()
	stop(t, start(t, Options{StoreDir: dir}))
	start(t, Options{StoreDir: dir})
}

// What was acknowledged before kill -9 is there afterwards.
func TestKillLosesNothing(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var acked uint64
	lines := bufio.NewScanner(out)
	for acked < 2000 && lines.Scan() {
		if _, err := fmt.Sscan(lines.Text(), &acked); err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
		_, _ = fmt.Sscan(lines.Text(), &acked)
	}
	_, _ = io.Copy(io.Discard, out)
	_ = cmd.Wait() // killed
	s := start(t, Options{StoreDir: dir})
	js, done := dial(t, s)
	defer done()
	stream, err := js.Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	if last := stream.CachedInfo().State.LastSeq; acked < 2000 || last < acked {
		t.Errorf("%d writes were acknowledged, %d are there", acked, last)
	}
}

func dial(t *testing.T, s *Server) (jetstream.JetStream, func()) {
	t.Helper()
	nc, err := s.Connect()
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js, nc.Close
}

func writeUntilKilled(dir string) {
	s, err := Start(Options{StoreDir: dir, Port: -1})
	if err != nil {
		panic(err)
	}
	nc, err := s.Connect()
	if err != nil {
		panic(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		panic(err)
	}
	for {
		ack, err := js.Publish(ctx, "s", []byte("x"))
		if err != nil {
			panic(err)
		}
		fmt.Println(ack.Sequence)
	}
}
