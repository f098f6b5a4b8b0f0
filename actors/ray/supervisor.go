package ray

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	rayv1 "github.com/ray-project/kuberay/ray-operator/apis/ray/v1"

	"dynctl/state"
)

// Supervisor keeps exactly one agent alive in a Ray cluster, as a job.
//
// Invariant: an agent of the same store, package and settings that lives is left
// alone, whoever submitted it; so a restart of this program restarts nothing.
type Supervisor struct {
	cfg       Config
	transport http.RoundTripper
	poked     chan struct{}
	changed   chan struct{}

	// acting is held during a round, and by Stop: what follows is theirs.
	acting    sync.Mutex
	stopped   bool
	client    *client
	way       Endpoint           // the client's
	token     string             // of Config.Token, the client's
	noToken   string             // why that cannot be read now, as it was logged
	trouble   state.AgentFailure // of the Ray cluster; zero: none
	unheard   time.Time          // since when its dashboard has not answered; zero: it does
	asked     time.Time          // when this round began to ask it, or had an answer last
	current   *job
	condemned map[string]bool // jobs that are never taken for a living agent again
	pause     *backoff.ExponentialBackOff
	failures  int
	lastEnd   error // of the last job that failed; nil once another one runs
	ends      ends
	notBefore time.Time // the next submission
	carryAt   time.Time // the next look for the programs in Ray's store

	standby         *contender // nil: there is none
	standbyFailures int        // in a row
	standbyWhy      string     // the last one was given up
	standbyAt       time.Time  // the next one is not submitted before
	outgoing        []outgoing
	givenUp         []string // jobs that were in charge and are silent; stopped once another one is in charge
	attending       sync.WaitGroup

	mu      sync.Mutex
	state   SupervisorState
	waiting state.StandbyAgent
}

// job is the agent's job as this program knows it.
type job struct {
	id       string
	settings string
	since    time.Time // submitted or found
	// before is the incarnation in charge when the job was submitted; it is known
	// to have taken over once there is another one. Unused for a job that was found.
	before uint64
	found  bool
	// started is when a job that was found began, on Ray's clock.
	started time.Time
	// held: it has been in charge.
	held bool
	// called takes its orders to it until it is in charge, for it may find another one there
	// when it comes up; nil: it was seen in charge, or no agent stands by.
	called *contender
	// healthy is when its first heartbeat was seen; zero: not yet.
	healthy time.Time
	// overdue says why it does not come up, once it has taken longer than it should.
	overdue error
	// predecessors are stopped once it has taken over.
	predecessors []string
}

// New makes a Supervisor; Run runs it.
func New(cfg Config) *Supervisor {
	return newSupervisor(cfg, http.DefaultTransport.(*http.Transport).Clone())
}

func newSupervisor(cfg Config, transport http.RoundTripper) *Supervisor {
	cfg.setDefaults()
	s := &Supervisor{
		cfg:       cfg,
		transport: transport,
		poked:     make(chan struct{}, 1),
		changed:   make(chan struct{}, 1),
		condemned: map[string]bool{},
		pause: backoff.NewExponentialBackOff(
			backoff.WithInitialInterval(cfg.BackoffInitial),
			backoff.WithMaxInterval(cfg.BackoffMax),
			backoff.WithMultiplier(2),
			backoff.WithRandomizationFactor(0.2),
			backoff.WithMaxElapsedTime(0),
		),
	}
	s.state = SupervisorState{Phase: PhaseWaiting, Message: "not started yet", Since: time.Now()}
	return s
}

// Run keeps the agent alive until the context ends, and then returns nil. The
// agent lives on.
func (s *Supervisor) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var resolving sync.WaitGroup
	resolving.Go(func() { _ = s.cfg.Resolver.Run(ctx) }) // it ends with the context alone
	defer resolving.Wait()
	defer s.attending.Wait()
	defer cancel()
	defer s.closeIdle()
	for {
		pause := s.round(ctx)
		wait, due := time.NewTimer(pause), time.Now().Add(pause)
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil
		case <-s.poked:
		case <-s.cfg.Resolver.Changed():
		case <-wait.C:
		}
		wait.Stop()
		s.excuse(time.Since(due))
	}
}

// overslept is from where on a round that comes late says that this process was stopped.
const overslept = time.Second

// excuse leaves the time in which this process was stopped out of all that is judged by how long
// it takes: nothing of it could be heard.
func (s *Supervisor) excuse(late time.Duration) {
	if late < overslept {
		return
	}
	s.acting.Lock()
	defer s.acting.Unlock()
	if s.current != nil {
		s.current.since = s.current.since.Add(late)
	}
	if s.standby != nil {
		s.standby.since = s.standby.since.Add(late)
	}
	if !s.unheard.IsZero() {
		s.unheard = s.unheard.Add(late)
	}
	for i := range s.outgoing {
		s.outgoing[i].since = s.outgoing[i].since.Add(late)
	}
}

// Poke has the job looked at now, as when the agent's connection was seen to end.
func (s *Supervisor) Poke() { wake(s.poked) }

// State is where it stands.
func (s *Supervisor) State() SupervisorState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// Changed holds a token when State has changed since the last one was taken.
func (s *Supervisor) Changed() <-chan struct{} { return s.changed }

// round looks at the job once and does what is due. It returns the pause until
// the next one.
func (s *Supervisor) round(ctx context.Context) time.Duration {
	s.acting.Lock()
	defer s.acting.Unlock()
	if s.stopped {
		return time.Hour
	}
	s.asked = time.Now()
	if err := s.connect(ctx); err != nil {
		s.trouble = troubleOf(err, Endpoint{})
		s.set(PhaseWaiting, err.Error())
		return time.Second
	}
	s.succeed()
	if s.current != nil {
		s.watch(ctx)
	}
	if s.current == nil && ctx.Err() == nil && !s.promote(ctx) {
		if wait := time.Until(s.notBefore); wait > 0 {
			s.direct()
			return wait
		}
		s.ensure(ctx)
	}
	s.settle(ctx)
	s.keepStandby(ctx)
	s.direct()
	if s.current == nil {
		return max(time.Until(s.notBefore), s.cfg.Poll)
	}
	return s.cfg.Poll
}

// connect follows the address and the token. The job is kept: behind a new address
// may be the same cluster.
func (s *Supervisor) connect(ctx context.Context) error {
	way, err := s.cfg.Resolver.Endpoint(ctx)
	if err != nil {
		return err
	}
	token := s.readToken()
	if s.client == nil || !s.way.same(way) || token != s.token {
		s.closeIdle()
		s.token = token
		s.client = newClient(way, token, s.transport)
		s.failures, s.notBefore, s.ends = 0, time.Time{}, ends{}
		s.answered() // as far as is known of it
		s.carryAt = time.Time{}
		s.pause.Reset()
		s.outgoing = nil
		s.forgetStandby() // of another cluster, perhaps; if not, it is found again
	}
	s.way = way
	return nil
}

// readToken is the token as it is now. One that cannot be read, or is empty, leaves the last
// one: a file may be about to be written.
func (s *Supervisor) readToken() string {
	if s.cfg.Token == nil {
		return ""
	}
	token, err := s.cfg.Token()
	switch {
	case err == nil:
		s.noToken = ""
		return cmp.Or(token, s.token)
	case err.Error() != s.noToken:
		s.noToken = err.Error()
		s.cfg.Log.Error("Ray's token cannot be read; the last one that could is used", "err", err)
	}
	return s.token
}

// watch looks at the current job; it leaves none if there has to be another one.
func (s *Supervisor) watch(ctx context.Context) {
	info, err := s.client.job(ctx, s.current.id)
	switch {
	case errors.Is(err, ErrNoJob):
		s.failed(fmt.Errorf("%w: Ray's head has been restarted", err))
	case err != nil:
		s.unreachable(err)
		return
	case rayv1.IsJobTerminal(info.JobStatus):
		s.failed(s.client.ended(ctx, info))
	default:
		s.judge(ctx, info)
	}
	s.answered()
}

// failed forgets the current job and says when the next one is due.
func (s *Supervisor) failed(why error) {
	var life time.Duration
	if j := s.current; j != nil {
		j.dismiss()
		if !j.healthy.IsZero() {
			life = time.Since(j.healthy)
		}
	}
	s.current = nil
	var wait time.Duration
	if s.failures > 0 {
		wait = s.pause.NextBackOff()
	}
	s.failures++
	if errors.Is(why, ErrNoJob) {
		s.ends = ends{} // of another life of the head
	} else {
		s.ends.add(why, life)
	}
	s.lastEnd = why
	s.notBefore = time.Now().Add(wait)
	s.set(PhaseBackoff, fmt.Sprintf("%v; the next one is submitted in %s", why, wait.Round(100*time.Millisecond)))
}

// unreachable concludes nothing about the job.
func (s *Supervisor) unreachable(err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	s.trouble = s.troubled(err)
	s.set(PhaseUnreachable, err.Error())
}

func (s *Supervisor) set(phase Phase, message string) {
	s.mu.Lock()
	next := s.state
	next.Phase, next.Message, next.Failures = phase, message, s.failures
	next.Failing, next.Notice = s.failing(), s.notice()
	waiting := s.standbyNow()
	if waiting.Since = s.waiting.Since; waiting.State != s.waiting.State {
		waiting.Since = time.Now()
	}
	s.waiting, next.Standby = waiting, waiting.State
	next.JobID, next.Address = "", ""
	if s.current != nil {
		next.JobID = s.current.id
	}
	if s.client != nil {
		next.Address = s.client.address
	}
	if s.state.Phase != phase {
		next.Since = time.Now()
	}
	same := s.state == next
	entered := s.state.Phase != phase
	noticed := next.Notice.Message != "" && s.state.Notice.Message != next.Notice.Message
	s.state = next
	s.mu.Unlock()
	if same {
		return
	}
	if entered {
		s.cfg.Log.Info("agent", "phase", phase, "job", next.JobID, "message", message)
	}
	if noticed {
		s.cfg.Log.Warn("the Ray cluster", "reason", next.Notice.Reason, "message", next.Notice.Message, "fix", next.Notice.Way)
	}
	wake(s.changed)
}

func (s *Supervisor) closeIdle() {
	if t, ok := s.transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

func wake(slot chan struct{}) {
	select {
	case slot <- struct{}{}:
	default:
	}
}
