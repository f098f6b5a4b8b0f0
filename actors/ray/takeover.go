package ray

import (
	"context"
	"errors"
	"slices"
	"time"

	rayv1 "github.com/ray-project/kuberay/ray-operator/apis/ray/v1"

	"dynctl/state"
)

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

// inCharge reports whether there is an agent that is well.
func (s *Supervisor) inCharge() bool { return s.current != nil && !s.current.healthy.IsZero() }

// bearable is how long an agent may be silent whose job runs. A standby that answers says
// that neither the machine nor the way to it is what is slow, and costs no time.
func (s *Supervisor) bearable() time.Duration {
	if s.standby != nil && s.standby.ready() {
		return s.cfg.HeartbeatTimeout / 2
	}
	return s.cfg.HeartbeatTimeout
}

// replace gives up a job that lives and does nothing. One that was in charge is stopped once
// another one is: until then it may come to itself, and is better than none.
func (s *Supervisor) replace(ctx context.Context, why error) {
	j := s.current
	s.condemned[j.id] = true
	s.failed(why)
	if s.cfg.Order != nil && j.held {
		s.givenUp = append(s.givenUp, j.id)
		s.promote(ctx)
		return
	}
	if err := s.client.stop(ctx, j.id); err != nil {
		s.cfg.Log.Warn("a silent agent cannot be stopped", "job", j.id, "err", err)
	}
}

// succeed takes note that the standby took the place of the agent in charge, as ordered: it
// says so itself, or its heartbeat does where the answer was lost.
func (s *Supervisor) succeed() {
	b := s.standby
	if b == nil {
		return
	}
	took := b.took()
	switch beat, known := s.cfg.Heartbeat(); {
	case known && beat.Job == b.id:
	case took == 0:
		return
	case known && beat.Incarnation > took: // and has lost its place again, with which it ends
		s.forgetStandby()
		return
	}
	old, next := s.current, &job{id: b.id, settings: b.settings, since: time.Now(), held: true}
	s.forgetStandby()
	s.current, s.standbyAt = next, time.Time{}
	if old != nil {
		next.before, next.predecessors = old.before, old.predecessors
		s.leave(old)
	}
	s.cfg.Log.Info("the standby agent has taken over", "job", next.id)
	s.starting()
}

// leave has a job that is not to be in charge any more either go or, where it never was in
// charge, stand by: it finds another one there when it comes up, and takes orders then.
func (s *Supervisor) leave(old *job) {
	if !old.held && old.called != nil && old.called.took() == 0 {
		s.standby = old.called
		s.standby.looked = time.Now()
		return
	}
	left := outgoing{id: old.id, since: time.Now()}
	if !old.healthy.IsZero() {
		left.life = time.Since(old.healthy)
	}
	s.outgoing = append(s.outgoing, left)
	s.failures++
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
	ctx, cancel := context.WithTimeout(ctx, orderPatience)
	defer cancel()
	answer, err := s.cfg.Order(ctx, b.id, s.orderNow(beat))
	b.note(answer, err)
	b.tried = time.Now()
	s.succeed()
	_, ever := b.silentFor()
	switch {
	case s.current != nil:
	case errors.Is(err, ErrNotListening) && !ever && time.Since(b.since) < s.cfg.StartTimeout:
		// Nothing that is submitted now would be there before it is.
		s.standby = nil
		s.current = &job{id: b.id, settings: b.settings, since: time.Now(), before: beat.Incarnation, called: b}
		s.starting()
	default:
		s.cfg.Log.Warn("the standby agent does not take over; another one is started", "job", b.id, "refused", answer.Refused, "err", err)
		return false
	}
	return true
}

// orderNow is the order to take the place of who sent that heartbeat last. Of one that is
// silent it holds until it is heard again.
func (s *Supervisor) orderNow(beat Heartbeat) state.StandbyOrder {
	order := s.order(beat, true)
	if beat.Age >= silence {
		order.Revision = beat.Revision
	}
	return order
}

// direct says what those that wait are to do until the next round. While nobody is in charge
// both the standby and the job that was submitted in its stead are to take charge, whichever
// is the first: their orders name the same incarnation, so the other one's is void then, and
// it waits on.
func (s *Supervisor) direct() {
	beat, known := s.cfg.Heartbeat()
	due := known && !s.inCharge()
	if b := s.standby; b != nil {
		b.command(due && beat.Age >= silence && (s.current == nil || !s.current.held) && b.settings == s.settings(), s.orderNow(beat))
		due = due && beat.Job != b.id // it has just taken charge, which the next round takes note of
	}
	if j := s.current; j != nil && j.called != nil {
		order := s.order(beat, true)
		j.called.command(due && !j.isOf(beat), order)
	}
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
