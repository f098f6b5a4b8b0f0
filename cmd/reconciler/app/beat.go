package app

import (
	"context"
	"errors"
	"sync"
	"time"

	"dynctl/actors"
	"dynctl/state"
	"dynctl/state/kv"
)

const (
	// longestPause is how long nobody has looked for a heartbeat at most, of a process that
	// runs: it is looked several times as often.
	longestPause = 4 * idleRound
	// beatAskFor bounds the question to the store whether a heartbeat is the last one; a store that
	// is far away, or slow, answers in a second or two.
	beatAskFor = 5 * time.Second
)

// beat remembers when a heartbeat was received here. Its own time is on the clock
// of the store, which another machine may keep.
//
// An agent is silent only for as long as it could have been heard: not while this process was
// stopped, for what was sent meanwhile is read after it, and its agent has to find the way back
// to a store within this process first; not while the store could not be reached; and not before
// the store has been asked, and has answered, that no other heartbeat is there.
type beat struct {
	mu       sync.Mutex
	last     time.Time // the heartbeat's own time
	revision uint64
	received time.Time
	looked   time.Time     // when it was last looked for
	deaf     time.Duration // how much of the time since it was received is no silence
	sure     uint64        // the revision that the store has said to be the last one
	asking   bool
}

// agentTimeout is the silence from which on an agent is not heard.
var agentTimeout = actors.DefaultPolicy("").AgentTimeout

// local returns a copy of the agent with the time of its heartbeat on this clock. hears: the
// store is followed.
func (b *beat) local(agent *state.Agent, now time.Time, hears bool) *state.Agent {
	if agent == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	pause := now.Sub(b.looked)
	switch {
	case !agent.At.Equal(b.last):
		b.last, b.revision, b.received, b.deaf = agent.At, agent.Revision, now, 0
	case hears && pause <= longestPause: // it could have been heard
	case pause <= 0: // somebody else looked meanwhile
	case b.silence(b.looked) > agentTimeout: // it was silent before
		b.deaf += pause
	default:
		b.deaf = now.Sub(b.received)
	}
	if pause > 0 {
		b.looked = now
	}
	out := *agent
	out.At, out.Deaf = b.received, b.deaf
	if over := b.silence(now) - agentTimeout; over > 0 && b.sure != b.revision {
		out.Deaf += over
	}
	return &out
}

func (b *beat) silence(now time.Time) time.Duration { return now.Sub(b.received) - b.deaf }

// doubtful reports whether the store is to be asked for the last heartbeat, which whoever asks
// this does then, and the revision that is known.
func (b *beat) doubtful(now time.Time) (revision uint64, ask bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.asking || b.received.IsZero() || b.sure == b.revision || b.silence(now) <= agentTimeout {
		return 0, false
	}
	b.asking = true
	return b.revision, true
}

// answered takes what the store has said of the last heartbeat, and reports whether the one that
// is known is that. Where it has said nothing it is asked again.
func (b *beat) answered(known, stored uint64, err error) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asking = false
	if errors.Is(err, kv.ErrUnreachable) || errors.Is(err, context.Canceled) || err == nil && stored != known {
		return false
	}
	b.sure = known
	return true
}

// heardAgent is the agent of a snapshot as it was last heard.
func (a *App) heardAgent(agent *state.Agent, now time.Time) *state.Agent {
	return a.beat.local(agent, now, a.views.Hears())
}

// askForBeat has the store asked whether an agent that seems to be silent is.
func (l *loop) askForBeat(ctx context.Context, now time.Time) {
	known, ask := l.app.beat.doubtful(now)
	if !ask {
		return
	}
	l.writes.wg.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, beatAskFor)
		defer cancel()
		agent, err := l.app.store.GetAgent(ctx)
		if l.app.beat.answered(known, agent.Revision, err) {
			l.Kick()
		}
	})
}
