// Package natsd runs a NATS server with JetStream inside the reconciler.
package natsd

import (
	"context"
	"errors"
	"log/slog"

	"github.com/nats-io/nats.go"
)

// Sentinels of Start.
var (
	ErrPortBusy  = errors.New("port in use")
	ErrStoreDir  = errors.New("store directory not usable")
	ErrStoreBusy = errors.New("store directory in use by another reconciler")
)

// Options of Start.
type Options struct {
	Host     string // default 127.0.0.1
	Port     int    // 0: 4322; -1: a free one
	StoreDir string
	Username string // empty: no authentication
	Password string
	Log      *slog.Logger
}

// Server is a running server.
type Server struct{}

// Start starts a server and waits until it accepts connections.
func Start(o Options) (*Server, error) { return nil, ErrStoreDir }

// URL is what a client on this machine dials.
func (s *Server) URL() string { return "" }

// Port is the port in use.
func (s *Server) Port() int { return 0 }

// Connect makes an in-process connection.
func (s *Server) Connect(opts ...nats.Option) (*nats.Conn, error) { return nil, nil }

// Shutdown ends the server within ctx.
func (s *Server) Shutdown(ctx context.Context) error { return nil }
