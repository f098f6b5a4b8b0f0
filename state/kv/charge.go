package kv

import (
	"strings"
	"sync"
	"time"
)

// charge judges whether the agent's word that it has reported everything is about
// the bucket as it is. An agent outlives its bucket: where that was recreated, or
// has lost the agent's key, what it said before is void, and its next heartbeat
// alone, which may come before anything else is written again, proves nothing.
//
// It is believed again once it has said that it is not synced, for what it says
// after that is said after all its keys; once a later agent is in charge, which
// begins so; or where what it says follows nodes that it has written in this
// bucket, for then the beginning was missed.
type charge struct {
	mu          sync.Mutex
	created     time.Time // of the stream that the rest is about
	incarnation uint64    // the highest that was in charge
	doubted     bool
	nodes       bool // one stands in the bucket
}

func (c *charge) begun(created time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !created.Equal(c.created) {
		c.doubt()
	}
	c.created, c.nodes = created, false
}

func (c *charge) arrived(it item[observation]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case it.key == keyAgent && it.deleted:
		c.doubt()
	case it.err != nil || it.deleted:
	case it.val.agent != nil:
		c.heard(it)
	case strings.HasPrefix(it.key, nodePrefix):
		c.nodes = true
	}
}

func (c *charge) heard(it item[observation]) {
	a := it.val.agent
	if !a.Synced || a.Incarnation > c.incarnation || c.nodes {
		c.doubted = false
	}
	c.incarnation = max(c.incarnation, a.Incarnation)
}

func (c *charge) loaded(items map[string]item[observation]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := items[keyAgent]; !ok {
		c.doubt()
	}
}

// doubt forgets what the agent has said; c.mu is held.
func (c *charge) doubt() { c.doubted = c.incarnation > 0 }

func (c *charge) believed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.doubted
}
