package ray

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"dynctl/state"
)

// contest is a Ray cluster with a store whose agents are processes: they take their time to
// start, are killed, stopped and continued, hear an order late, and lose answers. Each does
// what job/charge.py and job/standby.py do.
type contest struct {
	*fakeRay
	t      *testing.T
	rnd    *rand.Rand // of the agents
	dice   *rand.Rand // of the test
	agents map[string]*walker
	key    heldKey
	lossy  bool          // orders and answers are lost now and then
	starts time.Duration // what the next job takes until its agent listens

	end          func()        // of the supervisor
	longest, gap time.Duration // without an agent that is well, while Ray is there
	changes      int
}

// heldKey is the key of the agent in charge.
type heldKey struct {
	incarnation, revision uint64
	job                   string
	at                    time.Time
}

// walker is an agent.
type walker struct {
	id              string
	job             *fakeJob
	up, term, ended time.Time // it listens; was told to end; has ended
	paused, touched bool      // touched: it was paused once
	waits, begun    bool
	end             string // the status that Ray will tell
	succeeds        *uint64
	inc, watch      uint64 // own; of the one whose process it watches
	told            []*toldOrder
}

type toldOrder struct {
	state.StandbyOrder
	until  time.Time // zero: it has not been heard yet
	answer chan state.StandbyAnswer
}

func newContest(t *testing.T, seed uint64) *contest {
	c := &contest{fakeRay: newFakeRay(), t: t, rnd: rand.New(rand.NewPCG(seed, 1)), dice: rand.New(rand.NewPCG(seed, 2)), agents: map[string]*walker{}, starts: 4 * time.Second}
	c.onSubmit, c.onStop = c.begin, c.stopped
	return c
}

func (c *contest) begin(id string, j *fakeJob) {
	encoded := strings.TrimPrefix(j.info.Entrypoint, "python -m dynctl_agent --config ")
	raw, err := base64.StdEncoding.DecodeString(encoded)
	var told AgentConfig
	if err != nil || json.Unmarshal(raw, &told) != nil {
		c.t.Errorf("entrypoint %q: %v", j.info.Entrypoint, err)
	}
	c.agents[id] = &walker{id: id, job: j, up: time.Now().Add(c.starts), waits: told.Standby, succeeds: told.Succeeds}
}

// stopped is a request to end a job: never that of the agent in charge.
func (c *contest) stopped(id string, _ *fakeJob) {
	w := c.agents[id]
	if c.key.job == id && w.alive() {
		c.t.Errorf("%s: the agent in charge (%s, incarnation %d) is stopped", stamp(), id, w.inc)
	}
	w.term = time.Now()
}

func stamp() string { return time.Now().Format("15:04:05.00") }

func (w *walker) alive() bool     { return w.ended.IsZero() }
func (w *walker) listens() bool   { return w.alive() && !time.Now().Before(w.up) }
func (w *walker) quit(how string) { w.ended, w.end = time.Now(), how }
func (c *contest) well() bool {
	w := c.agents[c.key.job]
	return w != nil && w.alive() && !w.paused
}

// run has time pass for the agents until ctx ends.
func (c *contest) run(ctx context.Context) {
	const step = 10 * time.Millisecond
	for ctx.Err() == nil {
		time.Sleep(step)
		c.set(func() {
			for _, id := range slices.Sorted(maps.Keys(c.agents)) {
				c.step(c.agents[id])
			}
			switch {
			case c.well():
				c.gap = 0
			case !c.down:
				c.gap += step
			}
			c.longest = max(c.longest, c.gap)
		})
	}
}

func (c *contest) step(w *walker) {
	switch {
	case !w.alive():
		if time.Since(w.ended) > 300*time.Millisecond && w.job.info.JobStatus == "RUNNING" {
			w.job.info.JobStatus = statusOf(w.end)
		}
	case !w.term.IsZero() && (!w.paused || time.Since(w.term) > 3*time.Second):
		w.quit("STOPPED")
	case !w.paused && w.listens():
		c.act(w)
	}
}

// act is what an agent does that runs.
func (c *contest) act(w *walker) {
	switch {
	case w.inc != 0 && w.inc != c.key.incarnation:
		w.quit("SUCCEEDED") // superseded
	case w.inc != 0:
		if time.Since(c.key.at) >= time.Second {
			c.beat(w)
		}
	case !w.begun && !w.waits:
		if w.begun = true; w.succeeds == nil || c.key.incarnation <= *w.succeeds {
			c.take(w)
		}
		w.waits = w.inc == 0
	default:
		c.obey(w)
	}
}

func (c *contest) beat(w *walker) {
	c.key = heldKey{w.inc, c.key.revision + 1, w.id, time.Now()}
}

// take is only to be from who is gone, silent, or was so when the successor was asked for.
func (c *contest) take(w *walker) {
	if before := c.agents[c.key.job]; c.well() && !before.touched {
		c.t.Errorf("%s: %s takes the place of %s, which was well all the time", stamp(), w.id, before.id)
	}
	c.changes++
	w.inc = c.key.incarnation + 1
	c.beat(w)
}

// obey carries out the orders of an agent that waits.
func (c *contest) obey(w *walker) {
	w.begun = true
	if holder := c.agents[c.key.job]; holder != nil && holder.alive() {
		w.watch = holder.inc
	}
	told := w.told
	w.told = nil
	for _, o := range told {
		if o.until.IsZero() {
			o.until = time.Now().Add(time.Duration(o.Within * float64(time.Second)))
		}
		gone := w.watch == o.Incarnation && c.key.incarnation == o.Incarnation && !c.agents[c.key.job].alive()
		switch {
		case w.inc != 0:
			c.reply(o, state.StandbyAnswer{Incarnation: w.inc})
		case !o.Now && !gone && time.Now().Before(o.until):
			w.told = append(w.told, o)
		case !o.Now && !gone:
			c.reply(o, state.StandbyAnswer{Watches: w.watch == o.Incarnation})
		case c.key.incarnation != o.Incarnation, o.Revision != 0 && o.Revision != c.key.revision:
			c.reply(o, state.StandbyAnswer{Refused: "another one is in charge, or is heard again"})
		default:
			c.take(w)
			c.reply(o, state.StandbyAnswer{Incarnation: w.inc})
		}
	}
}

func (c *contest) lost() bool { return c.lossy && c.rnd.IntN(3) == 0 }

func (c *contest) reply(o *toldOrder, a state.StandbyAnswer) {
	if !c.lost() {
		o.answer <- a
	}
}

// order is a request to an agent that waits.
func (c *contest) order(ctx context.Context, job string, o state.StandbyOrder) (state.StandbyAnswer, error) {
	told, err := &toldOrder{StandbyOrder: o, answer: make(chan state.StandbyAnswer, 1)}, error(nil)
	c.set(func() {
		switch w := c.agents[job]; {
		case w == nil || !w.listens() || !w.waits:
			err = fmt.Errorf("%w: no responders", ErrNotListening)
		case w.inc != 0:
			c.reply(told, state.StandbyAnswer{Incarnation: w.inc})
		case !c.lost():
			w.told = append(w.told, told)
		}
	})
	if err != nil {
		return state.StandbyAnswer{}, err
	}
	select {
	case a := <-told.answer:
		return a, nil
	case <-ctx.Done():
		return state.StandbyAnswer{}, ctx.Err()
	}
}

func (c *contest) heartbeat() (Heartbeat, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.key.incarnation == 0 {
		return Heartbeat{Age: time.Hour}, true
	}
	return Heartbeat{Incarnation: c.key.incarnation, Revision: c.key.revision, Job: c.key.job, Age: time.Since(c.key.at)}, true
}

// supervised runs a supervisor in it.
func (c *contest) supervised() (s *Supervisor) {
	cfg := configFor(c.t, c.fakeRay)
	cfg.Heartbeat, cfg.Order = c.heartbeat, c.order
	s, c.end = start(c.t, cfg, c.fakeRay)
	return s
}

// holder is the job in charge, and waiting those that are not, the oldest first.
func (c *contest) holder() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.key.job
}

func (c *contest) waiting() (ids []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range c.fakeRay.order {
		if w := c.agents[id]; w.alive() && id != c.key.job {
			ids = append(ids, id)
		}
	}
	return ids
}

func (c *contest) isWell() (well bool) {
	c.set(func() { well = c.well() })
	return well
}

func (c *contest) longestGap() (gap time.Duration) {
	c.set(func() { gap = c.longest })
	return gap
}

func (c *contest) takeovers() (n int) {
	c.set(func() { n = c.changes })
	return n
}

func (c *contest) startsIn(d time.Duration) { c.set(func() { c.starts = d }) }

func (c *contest) kill(id string) {
	c.set(func() {
		if w := c.agents[id]; w != nil && w.alive() {
			w.quit("FAILED")
		}
	})
}

func (c *contest) pause(id string, paused bool) {
	c.set(func() {
		if w := c.agents[id]; w != nil {
			w.paused, w.touched = paused, true
		}
	})
}
