package simray

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	clientv3 "go.etcd.io/etcd/client/v3"

	"dynctl/state"
)

// Errors, to be compared with errors.Is.
var (
	// ErrSuperseded means that another agent is in charge.
	ErrSuperseded = errors.New("another agent is in charge")
	// ErrEnded means that the cluster was closed, or superseded.
	ErrEnded = errors.New("the simulated cluster has ended")
	// ErrUnknown means that no such unit, actor or node is there, or that it is not
	// in a state in which the fault can happen.
	ErrUnknown = errors.New("not there")
)

// Config describes a cluster.
type Config struct {
	// JetStream holds the store, with its buckets and the stream made. Required.
	JetStream jetstream.JetStream
	// Etcd is where every worker registers; specs name it as spec.etcd.endpoint, and
	// a managed etcd is said to be there. It stays the caller's. Required.
	Etcd *clientv3.Client
	// StoreID is the id of the store. Required.
	StoreID string
	// Nodes are there from the start; [Fleet] makes equal ones.
	Nodes  []state.Node
	Delays Delays
	// LeaseTTL of a worker's lease; default 30 s, as Dynamo's.
	LeaseTTL time.Duration
	// Host is the address on which frontends listen; default 127.0.0.1.
	Host string
	// Log is told what is refused and what fails; nil: nobody is.
	Log *slog.Logger
	// Heard is told of every command that is read, in that order, before it is carried out,
	// by one goroutine; nil: nobody is.
	Heard func(Heard)
}

// Heard is one delivery of a command.
type Heard struct {
	Sequence uint64 // in the stream
	Verb     string
	Unit     state.UnitKey
	Epoch    uint64
	Refused  string // why it is not carried out, as [RefusedEpoch]; empty: it is
}

// Delays are how long the steps of a unit take. The zero value takes no time.
type Delays struct {
	Place time.Duration // from the request of a group until it is placed
	Exec  time.Duration // from all that is needed until the process is executed
	Ready time.Duration // from the execution until the process is healthy
	Stop  time.Duration // from a stop until nothing is left
}

func (c *Config) setDefaults() error {
	if c.JetStream == nil || c.Etcd == nil || c.StoreID == "" {
		return errors.New("simray: JetStream, Etcd and StoreID are required")
	}
	if c.LeaseTTL <= 0 {
		c.LeaseTTL = 30 * time.Second
	}
	if c.Host == "" {
		c.Host = "127.0.0.1"
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Fleet is a number of equal worker nodes, "sim-000" and up.
func Fleet(nodes, gpus, cpus int) []state.Node {
	out := make([]state.Node, nodes)
	for i := range out {
		out[i] = state.Node{
			ID: fmt.Sprintf("sim-%03d", i), IP: fmt.Sprintf("10.77.%d.%d", i/250, i%250+1),
			GPUs: gpus, CPUs: cpus, Alive: true, Labels: map[string]string{"ray.io/node-type": "worker"},
		}
	}
	return out
}
