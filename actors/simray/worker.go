package simray

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dynctl/state"
)

const (
	instancePrefix = "v1/instances/"
	cardPrefix     = "v1/mdc/"
	etcdTimeout    = 10 * time.Second
	// orphaned is how long a worker lives on without its lease, as Dynamo's does.
	orphaned = 5 * time.Second
)

// card is what a simulated worker says of itself; only the simulated frontend
// reads it.
type card struct {
	DisplayName string `json:"display_name"`
	WorkerType  string `json:"worker_type"`
}

// register gives a worker its lease, its instance and its card; then it runs.
func (c *Cluster) register(a *actor) {
	namespace, component, ok := endpoint(a.template.Argv)
	if !ok {
		c.running(a, 0)
		return
	}
	role := a.unit.template.Role
	if role == state.RoleAggregated {
		role = state.ModeAggregated
	}
	body, err := json.Marshal(card{DisplayName: flag(a.template.Argv, "--served-model-name", "--model-name"), WorkerType: role})
	if err != nil {
		c.log.Error("simray: a card cannot be encoded", "unit", a.unit.key, "err", err)
		return
	}
	run, path := a.run, namespace+"/"+component+"/generate/"
	c.wg.Go(func() {
		lease, err := c.enrol(path, body)
		c.queue.post(func() {
			switch {
			case a.run != run && err == nil:
				c.revoke(int64(lease)) // the process ended meanwhile
			case a.run != run:
			case err != nil:
				c.log.Warn("simray: not registered yet", "unit", a.unit.key, "err", err)
				c.queue.after(time.Second, func() {
					if a.run == run {
						c.register(a)
					}
				})
			default:
				c.keepAlive(a, lease)
				c.running(a, int64(lease))
			}
		})
	})
}

func (c *Cluster) enrol(path string, card []byte) (clientv3.LeaseID, error) {
	ctx, cancel := context.WithTimeout(c.ctx, etcdTimeout)
	defer cancel()
	lease, err := c.cfg.Etcd.Grant(ctx, int64(c.cfg.LeaseTTL.Seconds()))
	if err != nil {
		return 0, err
	}
	key, on := path+strconv.FormatInt(int64(lease.ID), 16), clientv3.WithLease(lease.ID)
	_, err = c.cfg.Etcd.Txn(ctx).Then(
		clientv3.OpPut(cardPrefix+key, string(card), on),
		clientv3.OpPut(instancePrefix+key, "{}", on),
	).Commit()
	return lease.ID, err
}

// keepAlive renews the lease until the process ends. A worker whose lease is
// revoked ends by itself.
func (c *Cluster) keepAlive(a *actor, lease clientv3.LeaseID) {
	ctx, cancel := context.WithCancel(c.ctx)
	a.keep = cancel
	run := a.run
	renewals, err := c.cfg.Etcd.KeepAlive(ctx, lease)
	if err != nil {
		c.log.Warn("simray: a lease is not renewed", "unit", a.unit.key, "err", err)
		return
	}
	c.wg.Go(func() {
		for range renewals { // each must be read, or etcd's client complains
		}
		if ctx.Err() != nil {
			return
		}
		c.queue.after(orphaned, func() {
			if a.run == run {
				a.exited(c, 0, "Exited")
				c.report(a.unit, nil)
			}
		})
	})
}

// revoke is what a worker does with its lease when it ends in order.
func (c *Cluster) revoke(lease int64) {
	if lease == 0 {
		return
	}
	c.wg.Go(func() {
		ctx, cancel := context.WithTimeout(c.ctx, etcdTimeout)
		defer cancel()
		if _, err := c.cfg.Etcd.Revoke(ctx, clientv3.LeaseID(lease)); err != nil {
			c.log.Debug("simray: a lease was not revoked", "lease", fmt.Sprintf("%x", lease), "err", err)
		}
	})
}

// etcdAddress is where a managed etcd is said to be: at the caller's.
func (c *Cluster) etcdAddress() (ip string, port int) {
	for _, e := range c.cfg.Etcd.Endpoints() {
		host := e
		if u, err := url.Parse(e); err == nil && u.Host != "" {
			host = u.Host
		}
		if h, p, err := net.SplitHostPort(host); err == nil {
			if n, err := strconv.Atoi(p); err == nil {
				return h, n
			}
		}
	}
	return "", 0
}
