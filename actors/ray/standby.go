package ray

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

// standby is an agent that waits beside the one in charge.
type standby struct {
	id, settings string
	since        time.Time          // submitted or found
	looked       time.Time          // at its job, for the last time
	tried        time.Time          // to have it take charge at once, for the last time
	dismiss      context.CancelFunc // ends its orders

	mu       sync.Mutex
	heard    time.Time // its last answer; zero: none yet
	answered state.StandbyAnswer
}

// note keeps an answer to an order.
func (b *standby) note(answer state.StandbyAnswer, err error) {
	if err != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.heard, b.answered = time.Now(), answer
}

// took is its incarnation once it is in charge; 0: it waits.
func (b *standby) took() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.answered.Incarnation
}

// ready reports whether it was heard of late.
func (b *standby) ready() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.heard.IsZero() && time.Since(b.heard) < 2*orderFor
}

// silentFor is how long it has not been heard, and whether it ever was.
func (b *standby) silentFor() (d time.Duration, ever bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.heard.IsZero() {
		return time.Since(b.since), false
	}
	return time.Since(b.heard), true
}

// outgoing is an agent whose process has ended, of which Ray has not told why yet.
type outgoing struct {
	id    string
	since time.Time
	life  time.Duration
}

// isOf reports whether a heartbeat is the job's. Agents of earlier versions do not tell
// theirs.
func (j *job) isOf(beat Heartbeat) bool {
	if beat.Job != "" {
		return beat.Job == j.id
	}
	return j.found || beat.Incarnation != j.before
}

// bearable is how long an agent may be silent whose job runs. A standby that answers says
// that neither the machine nor the way to it is what is slow, and costs no time.
func (s *Supervisor) bearable() time.Duration {
	if s.standby != nil && s.standby.ready() {
		return s.cfg.HeartbeatTimeout / 2
	}
	return s.cfg.HeartbeatTimeout
}

// replace gives up a job that lives and does nothing. A standby is in charge before the
// job has been stopped, which may take as long as Ray likes.
func (s *Supervisor) replace(ctx context.Context, why error) {
	id := s.current.id
	s.condemned[id] = true
	s.failed(why)
	if s.promote(ctx) {
		s.current.predecessors = append(s.current.predecessors, id)
		return
	}
	if err := s.client.stop(ctx, id); err != nil {
		s.cfg.Log.Warn("a silent agent cannot be stopped", "job", id, "err", err)
	}
}

// succeed takes note that the standby took the place of the agent in charge, as ordered.
func (s *Supervisor) succeed() {
	b := s.standby
	if b == nil || b.took() == 0 {
		return
	}
	next := &job{id: b.id, since: time.Now()}
	if old := s.current; old != nil {
		left := outgoing{id: old.id, since: time.Now()}
		if !old.healthy.IsZero() {
			left.life = time.Since(old.healthy)
		}
		s.outgoing = append(s.outgoing, left)
		next.before, next.predecessors = old.before, old.predecessors
		s.failures++
	}
	s.forgetStandby()
	s.current, s.standbyAt = next, time.Time{}
	s.cfg.Log.Info("the standby agent has taken over", "job", next.id)
	s.starting()
}

// promote has the standby take charge now. It reports false where there is none that can.
func (s *Supervisor) promote(ctx context.Context) bool {
	b := s.standby
	if b == nil || time.Since(b.tried) < standbyLook {
		return false
	}
	beat, known := s.cfg.Heartbeat()
	if !known || b.settings != s.settings() {
		return false
	}
	b.tried = time.Now()
	ctx, cancel := context.WithTimeout(ctx, orderPatience)
	defer cancel()
	answer, err := s.cfg.Order(ctx, b.id, s.order(beat, true))
	b.note(answer, err)
	if b.took() == 0 {
		s.cfg.Log.Warn("the standby agent does not take over; another one is started", "job", b.id, "refused", answer.Refused, "err", err)
		return false
	}
	s.succeed()
	return true
}

func (s *Supervisor) order(beat Heartbeat, now bool) state.StandbyOrder {
	return state.StandbyOrder{Incarnation: beat.Incarnation, Epoch: s.cfg.Agent().Epoch, Now: now, Within: orderFor.Seconds()}
}

// attend keeps an order with a standby: to take over if the agent in charge ends.
func (s *Supervisor) attend(ctx context.Context, b *standby) {
	for ctx.Err() == nil {
		pause := time.NewTimer(orderPause)
		if beat, known := s.cfg.Heartbeat(); known {
			asked, cancel := context.WithTimeout(ctx, orderFor+orderPatience)
			b.note(s.cfg.Order(asked, b.id, s.order(beat, false)))
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
	ctx, cancel := context.WithCancel(ctx)
	b := &standby{id: id, settings: settings, since: time.Now(), looked: time.Now(), dismiss: cancel}
	s.standby = b
	s.attending.Go(func() { s.attend(ctx, b) })
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
		if time.Since(s.standby.looked) >= standbyLook {
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
func (s *Supervisor) lookAtStandby(ctx context.Context, b *standby) {
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

// giveUpStandby ends it; the next one comes after a pause.
func (s *Supervisor) giveUpStandby(ctx context.Context, b *standby, why error, pause time.Duration) {
	s.cfg.Log.Warn("the standby agent is given up", "job", b.id, "err", why, "nextIn", pause)
	s.condemned[b.id] = true
	if err := s.client.stop(ctx, b.id); err != nil {
		s.cfg.Log.Warn("a standby agent cannot be stopped", "job", b.id, "err", err)
	}
	s.forgetStandby()
	s.standbyAt, s.standbyWhy = time.Now().Add(pause), why.Error()
}

// settle learns why agents have ended whose standby took over before Ray knew.
func (s *Supervisor) settle(ctx context.Context) {
	s.outgoing = slices.DeleteFunc(s.outgoing, func(o outgoing) bool {
		info, err := s.client.job(ctx, o.id)
		switch {
		case errors.Is(err, ErrNoJob):
		case err != nil:
			return false
		case rayv1.IsJobTerminal(info.JobStatus):
			s.ends.add(s.client.ended(ctx, info), o.life)
		case time.Since(o.since) < outgoingFor:
			return false
		default:
			s.ends.add(&endError{job: o.id, kind: ErrNoAgent, what: "has left its place to the standby"}, o.life)
			if err := s.client.stop(ctx, o.id); err != nil {
				s.cfg.Log.Warn("a replaced agent cannot be stopped", "job", o.id, "err", err)
			}
		}
		return true
	})
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
