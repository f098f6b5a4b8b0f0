package ray

import (
	"context"
	"fmt"
	"time"

	rayv1 "github.com/ray-project/kuberay/ray-operator/apis/ray/v1"
	utiltypes "github.com/ray-project/kuberay/ray-operator/controllers/ray/utils/types"
)

// judge compares the heartbeat with what the living job has to deliver.
func (s *Supervisor) judge(ctx context.Context, info utiltypes.RayJobInfo) {
	beat, known := s.cfg.Heartbeat()
	if !known {
		s.set(s.phaseOf(s.current), "the agent's job runs; its heartbeat cannot be read from the store")
		return
	}
	j := s.current
	j.held = j.held || j.isOf(beat)
	switch {
	case j.isOf(beat) && beat.Age < s.bearable():
		if j.healthy.IsZero() {
			j.healthy = time.Now()
			j.dismiss()
		}
		if s.failures > 0 && time.Since(j.healthy) >= s.cfg.ResetAfter {
			s.failures = 0
			s.pause.Reset()
		}
		s.lastEnd = nil
		s.set(PhaseRunning, "the agent is alive")
		s.retire(ctx)
		s.carry(ctx, beat)
	case !j.healthy.IsZero() && beat.Age >= s.bearable():
		s.replace(ctx, &endError{job: j.id, kind: ErrNoAgent, what: fmt.Sprintf("runs and has been silent for %s: it is replaced", s.bearable())})
	case j.healthy.IsZero() && time.Since(j.since) >= s.patience(j, beat):
		s.failures++ // it has had its time: there is no second opinion to wait for
		s.replace(ctx, s.silent(ctx, info, s.patience(j, beat)))
	case j.healthy.IsZero():
		if j.overdue == nil && time.Since(j.since) >= s.patience(j, beat)/2 {
			j.overdue = s.silent(ctx, info, s.patience(j, beat)/2)
		}
		s.starting()
	}
}

// silent says why a job that lives has sent no heartbeat for so long.
func (s *Supervisor) silent(ctx context.Context, info utiltypes.RayJobInfo, after time.Duration) error {
	e := &endError{job: s.current.id, kind: ErrNoAgent}
	if info.JobStatus == rayv1.JobStatusPending {
		e.what = fmt.Sprintf("has not been started by Ray for %s", after)
		e.cause = clipCause(info.Message)
		e.way = wayOf(e.cause)
		return e
	}
	e.what = fmt.Sprintf("runs and sends no heartbeat within %s", after)
	e.cause = causeOfSilence(s.client.log(ctx, e.job))
	e.way = orElse(wayOf(e.cause), fmt.Sprintf("see that the Ray head can reach NATS at %s (--advertise-nats-url)", s.cfg.Agent().NATSURL))
	return e
}

// patience is how long a job that was submitted or found may take to its first
// heartbeat that is seen here. A heartbeat since its start says that a job which was
// found has started long ago and is silent now; whoever condemned it is gone.
func (s *Supervisor) patience(j *job, beat Heartbeat) time.Duration {
	if j.found && time.Now().Add(-beat.Age).After(j.started) {
		return s.cfg.HeartbeatTimeout
	}
	return s.cfg.StartTimeout
}

func (s *Supervisor) starting() {
	message := "the agent's job is starting"
	switch {
	case s.current.overdue != nil:
		message = s.current.overdue.Error()
	case s.lastEnd != nil:
		message = fmt.Sprintf("%s, after this: %v", message, s.lastEnd)
	}
	s.set(PhaseStarting, message)
}

func (s *Supervisor) phaseOf(j *job) Phase {
	if j.healthy.IsZero() {
		return PhaseStarting
	}
	return PhaseRunning
}

// retire stops the agents that the current one has replaced. What cannot be
// stopped now is tried again in the next round; it does no harm, for its
// incarnation is refused everywhere.
func (s *Supervisor) retire(ctx context.Context) {
	j := s.current
	j.predecessors, s.givenUp = append(j.predecessors, s.givenUp...), nil
	for len(j.predecessors) > 0 {
		if err := s.client.stop(ctx, j.predecessors[0]); err != nil {
			s.cfg.Log.Warn("a replaced agent cannot be stopped", "job", j.predecessors[0], "err", err)
			return
		}
		j.predecessors = j.predecessors[1:]
	}
}
