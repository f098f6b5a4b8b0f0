// Package natsd runs a NATS server with JetStream inside the reconciler, for
// installations that have no NATS of their own.
//
// Durability: every write is on disk before it is acknowledged, and so are the files
// and directories that it lies in, so neither kill -9 nor a power cut loses what was
// acknowledged (docs/adr/0012). A store that is damaged is not opened: see Start.
package natsd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// Errors of Start, to be compared with errors.Is.
var (
	// ErrPortBusy means that the address cannot be listened on.
	ErrPortBusy = errors.New("cannot listen")
	// ErrStoreDir means that the store directory cannot be used.
	ErrStoreDir = errors.New("store directory not usable")
	// ErrStoreBusy means that another process runs on the same store directory.
	ErrStoreBusy = errors.New("store directory in use by another process")
)

const (
	// DefaultHost is where the server listens unless told otherwise.
	DefaultHost = "127.0.0.1"
	// DefaultPort is on which port.
	DefaultPort = 4322
	// MaxPayload is the largest message in bytes.
	MaxPayload = 8 << 20

	// syncInterval is how often the space of what was deleted is given back; writes
	// are synced one by one.
	syncInterval = time.Second
	startTimeout = 30 * time.Second
	// handshakeTimeout is how many seconds the handshake of TLS may take.
	handshakeTimeout = 10.0
	// stockEvery is how often the ledger is brought up to date.
	stockEvery = time.Second
	// How many writes may wait for one stream (what a client sends without waiting
	// for acknowledgements, at most), and how large they may be together.
	maxBufferedMsgs  = 4096
	maxBufferedBytes = 2 * MaxPayload
	// maxStore is more than any disk has.
	maxStore = 1 << 50
)

// Options of Start.
type Options struct {
	// Host is the address to listen on; empty means DefaultHost.
	Host string
	// Port 0 means DefaultPort, -1 a free one.
	Port int
	// StoreDir holds the JetStream data; it is made if absent. Required.
	StoreDir string
	// Username and Password are asked of every client, in-process ones included
	// (Connect gives them). Empty: no authentication.
	Username string
	Password string
	// Doors are who may log in, and with what; nil: everybody, or whoever has Username
	// and Password.
	Doors *Doors
	// Login is how Connect logs in where there are Doors.
	Login nats.Option
	// TLS, where it is set, is what clients have to speak; those in this process do not.
	TLS *tls.Config
	// Prepare is called once StoreDir is this server's alone, and before it runs: it may set
	// Doors and Login. Nil: nothing is.
	Prepare func(*Options) error
	// Repair puts damaged streams aside instead of refusing to start.
	Repair bool
	// Disposable are streams that are put aside without Repair, because what they
	// hold can be done without.
	Disposable []string
	// Log is told what the server logs; nil: nobody is.
	Log *slog.Logger
}

// Server is a running NATS server, which is started again by itself when its store
// has failed.
type Server struct {
	opts Options
	lock *os.File
	// failed: some stream will not be written to any more.
	failed atomic.Bool
	// low: so little is free that this is told; see [Disk].
	low atomic.Bool
	// refusal is why a store that has failed cannot be written to yet.
	refusal atomic.Pointer[error]

	end   context.CancelFunc
	ended sync.WaitGroup
	// stock is what the ledger says, made when the streams in it were made, and shelves
	// what it was made of.
	stock   []byte
	made    map[string]time.Time
	shelves shelves

	mu sync.RWMutex
	ns *server.Server
}

// Start looks through the store, starts a server on it and returns once that
// accepts connections. A store that is damaged is left as it is, and the error wraps
// [ErrStoreBroken]. The error is one line that says what is wrong and what to do.
func Start(o Options) (*Server, error) {
	if o.Host == "" {
		o.Host = DefaultHost
	}
	if o.Port == 0 {
		o.Port = DefaultPort
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	lock, err := lockDir(o.StoreDir)
	if err != nil {
		return nil, err
	}
	if err := prepare(&o); err != nil {
		_ = lock.Close()
		return nil, err
	}
	s := &Server{opts: o, lock: lock}
	if s.ns, err = run(o, &s.failed); err != nil {
		_ = lock.Close()
		return nil, err
	}
	s.opts.Port = s.Port() // a restart comes back where clients look for it
	ctx, end := context.WithCancel(context.Background())
	s.end = end
	s.ended.Go(func() { s.keepStoring(ctx) })
	s.ended.Go(func() { s.keepLedger(ctx) })
	return s, nil
}

// prepare looks through the store, and has the caller do what needs it for itself.
func prepare(o *Options) error {
	if err := inspect(*o); err != nil || o.Prepare == nil {
		return err
	}
	return o.Prepare(o)
}

// run starts a server; failed is set when its store fails.
func run(o Options, failed *atomic.Bool) (*server.Server, error) {
	if err := tryListen(o.Host, o.Port); err != nil {
		return nil, err
	}
	so := &server.Options{
		ServerName: "dynctl",
		Host:       o.Host,
		Port:       o.Port,
		Username:   o.Username,
		Password:   o.Password,
		JetStream:  true,
		StoreDir:   o.StoreDir,
		MaxPayload: MaxPayload,
		// By itself the server allows three quarters of what is free when it starts,
		// and counts what is stored already against that: one that starts again on a
		// disk more than half full could refuse all writes. The buckets and the stream
		// have bounds of their own.
		JetStreamMaxStore: maxStore,
		// A client may fall behind by several of the largest messages.
		MaxPending:   8 * MaxPayload,
		SyncAlways:   true,
		SyncInterval: syncInterval,
		// What is written faster than the disk takes it is refused (429), instead of
		// standing in line before whoever comes next.
		StreamMaxBufferedMsgs: maxBufferedMsgs,
		StreamMaxBufferedSize: maxBufferedBytes,
		NoSigs:                true,
		// A client that has a key, from when the doors were closed, is let in without it.
		AlwaysEnableNonce: true,
		TLSConfig:         o.TLS,
		TLSTimeout:        handshakeTimeout,
	}
	if o.Doors != nil {
		so.CustomClientAuthentication = o.Doors
	}
	ns, err := server.NewServer(so)
	if err != nil {
		return nil, fmt.Errorf("embedded NATS: %w", err)
	}
	if o.Doors != nil {
		if err := o.Doors.open(ns); err != nil {
			return nil, fmt.Errorf("embedded NATS: %w", err)
		}
	}
	fatal := make(chan string, 1)
	ns.SetLoggerV2(&logger{log: o.Log, fatal: fatal, failed: failed}, false, false, false)
	ns.Start()
	err = awaitReady(ns, fatal)
	if err == nil {
		return ns, nil
	}
	ns.Shutdown()
	ns.WaitForShutdown()
	switch {
	case errors.Is(err, errNotReady):
		return nil, fmt.Errorf("embedded NATS: %w", err)
	case strings.Contains(err.Error(), "listening"):
		return nil, fmt.Errorf("embedded NATS: %w: %w: end what uses the port or choose another with --listen", ErrPortBusy, err)
	default:
		return nil, fmt.Errorf("embedded NATS: %w: %s: %w", ErrStoreDir, o.StoreDir, err)
	}
}

var errNotReady = fmt.Errorf("not ready within %s: look for its warnings in the log", startTimeout)

// awaitReady waits in short turns, because the server's own wait does not end
// when the server has given up.
func awaitReady(ns *server.Server, fatal <-chan string) error {
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); {
		if ns.ReadyForConnections(100*time.Millisecond) && ns.JetStreamEnabled() {
			return nil
		}
		select {
		case msg := <-fatal:
			return errors.New(msg)
		default:
		}
	}
	return errNotReady
}

// tryListen finds a busy port before the server does, which would say so in its
// log alone.
func tryListen(host string, port int) error {
	addr := net.JoinHostPort(host, strconv.Itoa(max(port, 0)))
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("embedded NATS: %w: %w: end what uses the port or choose another with --listen", ErrPortBusy, err)
	}
	return l.Close()
}

// lockDir takes the directory for this process. The lock ends with the process,
// however it ends.
func lockDir(dir string) (*os.File, error) {
	if dir == "" {
		return nil, fmt.Errorf("embedded NATS: %w: no directory given: name one with --data-dir", ErrStoreDir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("embedded NATS: %w: %w: make it writable or choose another with --data-dir", ErrStoreDir, err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "dynctl.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("embedded NATS: %w: %w: make it writable or choose another with --data-dir", ErrStoreDir, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		pid := make([]byte, 32)
		n, _ := f.Read(pid)
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("embedded NATS: %w: %s is held by pid %s: end that reconciler, give this one another --data-dir, or let it dial the first with --nats-url",
				ErrStoreBusy, dir, strings.TrimSpace(string(pid[:n])))
		}
		return nil, fmt.Errorf("embedded NATS: %w: lock %s: %w", ErrStoreDir, dir, err)
	}
	if err := errors.Join(f.Truncate(0), writePID(f)); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("embedded NATS: %w: %w: free some disk space", ErrStoreDir, err)
	}
	return f, nil
}

func writePID(f *os.File) error {
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// URL is what a client on this machine dials, without credentials.
func (s *Server) URL() string { return s.current().ClientURL() }

// Port is the port in use.
func (s *Server) Port() int { return s.current().Addr().(*net.TCPAddr).Port }

// Connect makes an in-process connection with the server's own credentials. It
// never gives up reconnecting, and holds nothing back to send it later: a command
// that failed must not be carried out afterwards.
func (s *Server) Connect(opts ...nats.Option) (*nats.Conn, error) {
	all := append([]nats.Option{
		nats.InProcessServer(s),
		nats.MaxReconnects(-1),
		nats.ReconnectBufSize(-1),
	}, opts...)
	if s.opts.Login != nil {
		all = append(all, s.opts.Login)
	} else {
		all = append(all, nats.UserInfo(s.opts.Username, s.opts.Password))
	}
	nc, err := nats.Connect("", all...)
	if err != nil {
		return nil, fmt.Errorf("embedded NATS: in-process connection: %w", err)
	}
	return nc, nil
}

// Shutdown ends the server: clients are disconnected, files are written and
// closed, the directory is free. When ctx ends first its error is returned, and
// the directory stays locked until the process ends.
func (s *Server) Shutdown(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.end()
		s.ended.Wait()
		s.shelves = shelves{} // the last word is of what is there now
		s.keepStock()
		s.current().Shutdown()
		s.current().WaitForShutdown()
	}()
	select {
	case <-done:
		return s.lock.Close()
	case <-ctx.Done():
		return fmt.Errorf("embedded NATS: shutdown: %w", ctx.Err())
	}
}

// logger hands the server's log on and catches the fatal message, which would
// otherwise end in a process exit or in nothing at all.
type logger struct {
	log     *slog.Logger
	fatal   chan<- string
	failed  *atomic.Bool
	refused refusals
	shaken  refusals // by the handshake of TLS
}

func (l *logger) Noticef(f string, v ...any) { l.log.Debug("nats: " + fmt.Sprintf(f, v...)) }
func (l *logger) Debugf(string, ...any)      {}
func (l *logger) Tracef(string, ...any)      {}
func (l *logger) Warnf(f string, v ...any)   { l.log.Warn("nats: " + fmt.Sprintf(f, v...)) }
func (l *logger) Errorf(f string, v ...any) {
	msg := fmt.Sprintf(f, v...)
	if storeFailed(msg) {
		l.failed.Store(true)
	}
	if strings.Contains(msg, server.ErrAuthentication.Error()) {
		l.refused.tell(time.Now(), func(before int) { tellRefused(l.log, msg, before) })
		return
	}
	if strings.Contains(msg, "TLS handshake error") {
		l.shaken.tell(time.Now(), func(before int) { tellHandshake(l.log, msg, before) })
		return
	}
	l.log.Error("nats: " + msg)
}
func (l *logger) Fatalf(f string, v ...any) {
	msg := fmt.Sprintf(f, v...)
	l.log.Error("nats: " + msg)
	select {
	case l.fatal <- msg:
	default:
	}
}
