package app

import (
	"flag"
	"fmt"

	"dynctl/state/kv"
)

// limitFlags are the flags of the store's bounds and replicas.
func (c *Config) limitFlags(fs *flag.FlagSet) {
	fs.IntVar(&c.Limits.Objects, "max-objects", kv.DefaultLimits.Objects, "how many servers and models there may be together")
	fs.IntVar(&c.Limits.Servers, "max-servers", kv.DefaultLimits.Servers, "how many servers there may be")
	fs.Int64Var(&c.Limits.CurrentBytes, "max-current-bytes", kv.DefaultLimits.CurrentBytes,
		"bytes that the newest revisions of all specs may have together; what they render to may have twice as many")
	fs.Int64Var(&c.Limits.SpecBytes, "max-spec-bytes", kv.DefaultLimits.SpecBytes, "bytes that the bucket of specs may hold, all revisions counted")
	fs.Int64Var(&c.Limits.StatusBytes, "max-status-bytes", kv.DefaultLimits.StatusBytes, "bytes that the bucket of statuses may hold")
	fs.IntVar(&c.Limits.Replicas, "replicas", 0,
		"how many servers of the cluster behind --nats-url hold each bucket and the events: 1, 3 or 5; those that have more keep them; 0: as they are")
}

// checkReplicas refuses numbers of replicas that gain nothing, or that cannot be had.
func (c *Config) checkReplicas() error {
	switch n := c.Limits.Replicas; {
	case n < 0, n == 2, n == 4, n > kv.MaxReplicas:
		return fmt.Errorf("%w: --replicas %d: want 1, 3 or 5 (an even number survives no more servers than the odd one below it)", ErrUsage, n)
	case n > 1 && c.NATSURL == "":
		return fmt.Errorf("%w: --replicas %d: the embedded NATS is one server: name a cluster with --nats-url", ErrUsage, n)
	}
	return nil
}
