package simray

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// Etcd is an etcd process of its own, for a cluster to register in.
type Etcd struct {
	URL    string
	Client *clientv3.Client
	cmd    *exec.Cmd
}

// etcdStart bounds the start of an etcd.
const etcdStart = 30 * time.Second

// StartEtcd starts the program on free ports and waits until it answers. Its data
// are not synced to disk: they are of no use after the simulation.
func StartEtcd(ctx context.Context, program, dataDir string) (*Etcd, error) {
	if _, err := os.Stat(program); err != nil {
		return nil, fmt.Errorf("no etcd to simulate with (%w): run `make bin/etcd`", err)
	}
	client, peer, err := freeURLs()
	if err != nil {
		return nil, err
	}
	e := &Etcd{URL: client}
	e.cmd = exec.CommandContext(context.WithoutCancel(ctx), program, "--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
		"--initial-cluster", "default="+peer, "--data-dir", dataDir, "--log-level", "error", "--unsafe-no-fsync")
	e.cmd.Stderr = os.Stderr
	if err := e.cmd.Start(); err != nil {
		return nil, fmt.Errorf("etcd: %w", err)
	}
	e.Client, err = clientv3.New(clientv3.Config{Endpoints: []string{client}, DialTimeout: etcdStart, Logger: zap.NewNop()})
	if err != nil {
		e.Close()
		return nil, fmt.Errorf("etcd at %s: %w", client, err)
	}
	ctx, cancel := context.WithTimeout(ctx, etcdStart)
	defer cancel()
	if _, err := e.Client.Get(ctx, "ready"); err != nil {
		e.Close()
		return nil, fmt.Errorf("etcd at %s does not answer: %w", client, err)
	}
	return e, nil
}

// Close ends it.
func (e *Etcd) Close() {
	if e.Client != nil {
		_ = e.Client.Close() // it was only read and written by those who have ended
	}
	_ = e.cmd.Process.Kill() // it may be dead already
	_ = e.cmd.Wait()
}

// freeURLs are on two ports that nobody listens on now.
func freeURLs() (client, peer string, err error) {
	a, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	defer func() { _ = a.Close() }() // nothing was accepted
	b, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	defer func() { _ = b.Close() }() // nor here
	return "http://" + a.Addr().String(), "http://" + b.Addr().String(), nil
}
