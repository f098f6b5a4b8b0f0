package ray

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	rayv1 "github.com/ray-project/kuberay/ray-operator/apis/ray/v1"
	utiltypes "github.com/ray-project/kuberay/ray-operator/controllers/ray/utils/types"

	"dynctl/state"
)

const (
	// orderFor is how long an order to a standby stands that is for the end of the agent in
	// charge. It is renewed before, so that one of a reconciler which leads no more is soon over.
	orderFor = 2 * time.Second
	// orderPause is between two orders where the first got no answer, or another than in time.
	orderPause = 500 * time.Millisecond
	// orderPatience bounds an order to take charge now.
	orderPatience = 2 * time.Second
	// standbyPatience is how many times as long as one that is to be in charge it may take to
	// its first answer: nobody waits for it, and another start costs a busy machine more.
	standbyPatience = 3
	// standbyLook is the pause between two looks at the standby's job.
	standbyLook = time.Second
	// What waits and fails does so ever more seldom, until it has been there for a while.
	standbyPause, standbyPauseMax, standbyStable = 5 * time.Second, 5 * time.Minute, time.Minute
	// outgoingFor is how long Ray may take to tell of a process that has ended.
	outgoingFor = 3 * time.Second
)

// contender is an agent that waits for orders: the one that stands by, or the one that is to
// be in charge next.
type contender struct {
	id, settings string
	since        time.Time          // submitted or found
	looked       time.Time          // at its job, for the last time
	tried        time.Time          // to have it take charge at once, for the last time
	dismiss      context.CancelFunc // ends its orders

	mu       sync.Mutex
	heard    time.Time // its last answer; zero: none yet
	answered state.StandbyAnswer
	now      *state.StandbyOrder // what it is to do at once; nil: to see whether the other one ends
	recall   context.CancelFunc  // gives up the order under way, for another one is to be given
}

// note keeps an answer to an order.
func (b *contender) note(answer state.StandbyAnswer, err error) {
	if err != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.heard, b.answered = time.Now(), answer
}

// took is its incarnation once it is in charge; 0: it waits.
func (b *contender) took() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.answered.Incarnation
}

// ready reports whether it was heard of late.
func (b *contender) ready() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.heard.IsZero() && time.Since(b.heard) < 2*orderFor
}

// silentFor is how long it has not been heard, and whether it ever was.
func (b *contender) silentFor() (d time.Duration, ever bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.heard.IsZero() {
		return time.Since(b.since), false
	}
	return time.Since(b.heard), true
}

// command says what it is to do until it is told something else: that order, or, where none
// is due, to take over if the agent in charge ends.
func (b *contender) command(due bool, order state.StandbyOrder) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if due && b.now == nil && b.recall != nil {
		b.recall()
	}
	if b.now = nil; due {
		b.now = &order
	}
}

// next is the order that is due and the context to give it in.
func (b *contender) next(ctx context.Context, otherwise state.StandbyOrder) (context.Context, context.CancelFunc, state.StandbyOrder) {
	ctx, cancel := context.WithTimeout(ctx, orderFor+orderPatience)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.recall = cancel
	if b.now != nil {
		return ctx, cancel, *b.now
	}
	return ctx, cancel, otherwise
}

func (s *Supervisor) order(beat Heartbeat, now bool) state.StandbyOrder {
	return state.StandbyOrder{Incarnation: beat.Incarnation, Epoch: s.cfg.Agent().Epoch, Now: now, Within: orderFor.Seconds()}
}

// attend keeps an order with an agent that waits.
func (s *Supervisor) attend(ctx context.Context, b *contender) {
	for ctx.Err() == nil {
		pause := time.NewTimer(orderPause)
		if beat, known := s.cfg.Heartbeat(); known {
			asked, cancel, order := b.next(ctx, s.order(beat, false))
			b.note(s.cfg.Order(asked, b.id, order))
			cancel()
			if b.took() != 0 {
				s.Poke()
				return
			}
		}
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
		pause.Stop()
	}
}

// wait takes a job for the standby.
func (s *Supervisor) wait(ctx context.Context, id, settings string) {
	s.forgetStandby()
	s.standby = s.call(ctx, id, settings)
}

// call begins to give orders to the agent of a job; nil where none are given.
func (s *Supervisor) call(ctx context.Context, id, settings string) *contender {
	if s.cfg.Order == nil {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	b := &contender{id: id, settings: settings, since: time.Now(), looked: time.Now(), dismiss: cancel}
	s.attending.Go(func() { s.attend(ctx, b) })
	return b
}

// dismiss gives its agent no orders any more.
func (j *job) dismiss() {
	if j.called != nil {
		j.called.dismiss()
		j.called = nil
	}
}

// forgetStandby leaves its job alone.
func (s *Supervisor) forgetStandby() {
	if s.standby != nil {
		s.standby.dismiss()
		s.standby = nil
	}
}

// keepStandby sees that there is a standby once the agent in charge is well: until then
// the machine has better things to do.
func (s *Supervisor) keepStandby(ctx context.Context) {
	switch j := s.current; {
	case s.cfg.Order == nil || s.stopped || ctx.Err() != nil:
	case s.standby != nil:
		// While nobody is in charge it is given up for nothing: it may be the first to be there.
		if s.inCharge() && time.Since(s.standby.looked) >= standbyLook {
			s.lookAtStandby(ctx, s.standby)
		}
	case j == nil || j.healthy.IsZero() || time.Since(j.healthy) < s.cfg.StandbyAfter || time.Now().Before(s.standbyAt):
	default:
		s.standbyAt = time.Now().Add(unreachablePause)
		if err := s.findStandby(ctx); err != nil {
			s.cfg.Log.Debug("no standby agent yet", "err", err)
		}
	}
}

// findStandby takes one that is there already, or submits one.
func (s *Supervisor) findStandby(ctx context.Context) error {
	config, settings := s.cfg.Agent(), s.settings()
	all, err := s.client.list(ctx)
	if err != nil {
		return err
	}
	living, _ := jobsOf(all, config.StoreID)
	switch found := s.pick(living, settings); {
	case found.unknown, found.acting != nil && found.acting.SubmissionId != s.current.id:
		// One that waits here may be in charge by now: the next heartbeat says so.
	case found.waiting != nil:
		s.wait(ctx, found.waiting.SubmissionId, settings)
	default:
		config.Standby = true
		id := newJobID(config.StoreID)
		if err := s.request(ctx, id, config); err != nil {
			return err
		}
		s.wait(ctx, id, settings)
	}
	return nil
}

// lookAtStandby gives up a standby that has ended, does not answer, or was told what no
// longer holds.
func (s *Supervisor) lookAtStandby(ctx context.Context, b *contender) {
	b.looked = time.Now()
	if b.settings != s.settings() {
		s.giveUpStandby(ctx, b, errors.New("its settings have changed"), 0)
		return
	}
	info, err := s.client.job(ctx, b.id)
	silent, ever := b.silentFor()
	switch {
	case errors.Is(err, ErrNoJob):
		s.giveUpStandby(ctx, b, err, s.standbyPause())
	case err != nil: // nothing is known of it
	case rayv1.IsJobTerminal(info.JobStatus):
		s.giveUpStandby(ctx, b, s.client.ended(ctx, info), s.standbyPause())
	case ever && silent >= s.cfg.HeartbeatTimeout, silent >= standbyPatience*s.cfg.StartTimeout:
		s.giveUpStandby(ctx, b, fmt.Errorf("%w: it does not answer for %s", ErrNoAgent, silent.Round(time.Second)), s.standbyPause())
	case ever && time.Since(b.since) >= standbyStable:
		s.standbyFailures = 0
	}
}

func (s *Supervisor) standbyPause() time.Duration {
	s.standbyFailures++
	return min(standbyPause<<min(s.standbyFailures-1, 10), standbyPauseMax)
}

// giveUpStandby ends it, unless it is in charge by now; the next one comes after a pause.
func (s *Supervisor) giveUpStandby(ctx context.Context, b *contender, why error, pause time.Duration) {
	if beat, known := s.cfg.Heartbeat(); known && beat.Job == b.id {
		return
	}
	s.cfg.Log.Warn("the standby agent is given up", "job", b.id, "err", why, "nextIn", pause)
	s.condemned[b.id] = true
	if err := s.client.stop(ctx, b.id); err != nil {
		s.cfg.Log.Warn("a standby agent cannot be stopped", "job", b.id, "err", err)
	}
	s.forgetStandby()
	s.standbyAt, s.standbyWhy = time.Now().Add(pause), why.Error()
}

// settings are those that an agent has to have now; empty: they cannot be told.
func (s *Supervisor) settings() string {
	settings, err := s.cfg.Agent().settings()
	if err != nil {
		return ""
	}
	return settings
}

// fits reports whether a job runs the agent as it is to be.
func (s *Supervisor) fits(j utiltypes.RayJobInfo, settings string) bool {
	return !s.condemned[j.SubmissionId] && j.Metadata[metaPackage] == s.cfg.Package.Hash && j.Metadata[metaSettings] == settings
}

// Standby is the agent that is to wait beside the one in charge; nil: none is to.
func (s *Supervisor) Standby() *state.StandbyAgent {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting.State == "" {
		return nil
	}
	out := s.waiting
	return &out
}

// standbyNow is the same as this round finds it; its time is to be told by who knows when
// it was another.
func (s *Supervisor) standbyNow() state.StandbyAgent {
	b := s.standby
	switch {
	case s.cfg.Order == nil:
		return state.StandbyAgent{}
	case b == nil:
		return state.StandbyAgent{State: state.StandbyAbsent, Why: s.standbyWhy}
	case !b.ready():
		return state.StandbyAgent{State: state.StandbyStarting, Job: b.id, Why: s.standbyWhy}
	}
	b.mu.Lock()
	said := b.answered
	b.mu.Unlock()
	return state.StandbyAgent{State: state.StandbyReady, Job: b.id, NodeIP: said.NodeIP, PID: said.PID, Memory: said.Memory, Watches: said.Watches}
}
