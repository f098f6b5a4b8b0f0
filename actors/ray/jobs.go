package ray

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	rayv1 "github.com/ray-project/kuberay/ray-operator/apis/ray/v1"
	utiltypes "github.com/ray-project/kuberay/ray-operator/controllers/ray/utils/types"
)

// What a job of ours carries as metadata, so that any reconciler can tell it.
const (
	metaStore    = "dynctl/store"
	metaPackage  = "dynctl/package"
	metaSettings = "dynctl/settings"
	// metaStandby says that the agent waits for an order before it takes charge.
	metaStandby = "dynctl/standby"
)

// keptRecords is how many ended jobs of ours stay in Ray's list, for people.
const keptRecords = 5

// unreachablePause is short and constant: an address that refuses costs nothing
// to try, and Ray is wanted back soon after a restart of its head.
const unreachablePause = time.Second

// ensure finds a living agent, or submits one.
func (s *Supervisor) ensure(ctx context.Context) {
	config := s.cfg.Agent()
	settings, err := config.settings()
	if err != nil {
		s.failed(err)
		return
	}
	all, err := s.client.list(ctx)
	if err != nil {
		s.retryLater(err)
		return
	}
	living, ended := jobsOf(all, config.StoreID)
	found := s.pick(living, settings)
	if s.succeed(); s.current != nil { // the standby took over while Ray was asked
		s.current.predecessors = append(s.current.predecessors, found.others...)
		return
	}
	if found.waiting != nil && s.standby == nil {
		s.wait(ctx, found.waiting.SubmissionId, settings) // and if nobody is in charge, promoted
	}
	switch {
	case found.acting != nil:
		s.current = &job{id: found.acting.SubmissionId, settings: settings, since: time.Now(), found: true, held: found.named,
			started: time.UnixMilli(int64(min(found.acting.StartTime, math.MaxInt64))), predecessors: found.others}
		if !found.named {
			s.current.called = s.call(ctx, s.current.id, settings)
		}
		s.set(PhaseStarting, "an agent of this store runs already; waiting for its heartbeat")
	case found.unknown:
		s.notBefore = time.Now().Add(unreachablePause)
		s.set(PhaseWaiting, "the heartbeat of the agent in charge cannot be read from the store")
	case found.waiting != nil && s.promote(ctx):
		s.current.predecessors = append(s.current.predecessors, found.others...)
	default:
		s.submit(ctx, config, found.others)
		s.prune(ctx, ended)
	}
}

// picked are the living agents of a store.
type picked struct {
	acting  *utiltypes.RayJobInfo // in charge, or on its way there
	named   bool                  // it is in charge: the heartbeat names it
	waiting *utiltypes.RayJobInfo // a standby
	others  []string
	// unknown: there are some that were made to wait, and no heartbeat can be read that would
	// say whether one of them is in charge by now. Then nothing is concluded of them, and all
	// else is empty.
	unknown bool
}

// pick tells the living agents apart: the heartbeat names the one in charge, which may
// have stood by before.
func (s *Supervisor) pick(living []utiltypes.RayJobInfo, settings string) picked {
	beat, known := s.cfg.Heartbeat()
	if !known && slices.ContainsFunc(living, func(j utiltypes.RayJobInfo) bool { return s.fits(j, settings) && waits(j) }) {
		return picked{unknown: true}
	}
	named := func(j utiltypes.RayJobInfo) bool { return s.fits(j, settings) && j.SubmissionId == beat.Job }
	return s.assign(living, settings, slices.IndexFunc(living, named))
}

// assign gives each its part, where the one of that index is in charge; -1: none is known to be.
func (s *Supervisor) assign(living []utiltypes.RayJobInfo, settings string, acting int) (out picked) {
	if acting >= 0 {
		out.acting, out.named = &living[acting], true
	}
	for i := range living {
		j := &living[i]
		fits, waits := s.fits(*j, settings), waits(*j) || s.standby != nil && s.standby.id == j.SubmissionId
		switch {
		case j == out.acting || s.condemned[j.SubmissionId]:
		case fits && !waits && out.acting == nil:
			out.acting = j
		case fits && out.waiting == nil && s.cfg.Order != nil:
			// Or it was submitted to be in charge: then it has found another one there and
			// waits, or is on its way and takes charge by itself.
			out.waiting = j
		default:
			out.others = append(out.others, j.SubmissionId)
		}
	}
	return out
}

// waits reports whether a job was submitted to stand by; it may be in charge since.
func waits(j utiltypes.RayJobInfo) bool { return j.Metadata[metaStandby] != "" }

func (s *Supervisor) submit(ctx context.Context, config AgentConfig, predecessors []string) {
	before, known := s.cfg.Heartbeat()
	next := &job{id: newJobID(config.StoreID), settings: s.settings(), since: time.Now(), before: before.Incarnation, predecessors: predecessors}
	if known && s.cfg.Order != nil {
		config.Succeeds = &before.Incarnation
	}
	err := s.request(ctx, next.id, config)
	switch {
	case errors.Is(err, errConfig):
		s.failed(err)
	case err != nil:
		s.retryLater(err)
	default:
		s.ends.refusals = 0
		s.answered()
		s.current, next.called = next, s.call(ctx, next.id, next.settings)
		s.starting()
	}
}

// errConfig means that it cannot be said what an agent is to be told.
var errConfig = errors.New("an agent cannot be told what to do")

// request asks Ray for an agent's job, with the package in its store.
func (s *Supervisor) request(ctx context.Context, id string, config AgentConfig) error {
	config.Job = id
	settings, err := config.settings()
	if err != nil {
		return fmt.Errorf("%w: %w", errConfig, err)
	}
	entrypoint, err := config.entrypoint()
	if err != nil {
		return fmt.Errorf("%w: %w", errConfig, err)
	}
	metadata, err := config.metadata(s.cfg.Package.Hash, settings)
	if err != nil {
		return fmt.Errorf("%w: %w", errConfig, err)
	}
	packed := func() ([]byte, error) { return s.cfg.Package.Zip, nil }
	if _, err := s.client.upload(ctx, "upload the agent's package", s.cfg.Package.name(), packed); err != nil {
		return err
	}
	return s.client.submit(ctx, utiltypes.RayJobRequest{
		SubmissionId: id,
		Entrypoint:   entrypoint,
		RuntimeEnv:   utiltypes.RuntimeEnvType{"working_dir": s.cfg.Package.URI()},
		Metadata:     metadata,
	})
}

// retryLater is for requests that Ray did not carry out. Jobs are listed again
// before the next attempt, so one whose answer was lost is found.
func (s *Supervisor) retryLater(err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	wait := unreachablePause
	if !errors.Is(err, ErrUnreachable) {
		wait = s.pause.NextBackOff()
		s.ends.refused(err)
	}
	s.trouble = s.troubled(err)
	s.notBefore = time.Now().Add(wait)
	s.set(PhaseUnreachable, err.Error())
}

// prune removes the oldest records: a job that fails for days would fill Ray's
// own store with them.
func (s *Supervisor) prune(ctx context.Context, ended []utiltypes.RayJobInfo) {
	if len(ended) <= keptRecords {
		return
	}
	for _, j := range ended[keptRecords:] {
		if err := s.client.forget(ctx, j.SubmissionId); err != nil {
			s.cfg.Log.Debug("the record of an ended job cannot be removed", "job", j.SubmissionId, "err", err)
			return
		}
		delete(s.condemned, j.SubmissionId)
	}
}

// Stop ends every agent of the store and submits none any more. It returns once
// their jobs have ended, or with the context's error.
func (s *Supervisor) Stop(ctx context.Context) error {
	s.acting.Lock()
	defer s.acting.Unlock()
	s.stopped = true
	s.forgetStandby()
	if err := s.connect(ctx); err != nil {
		return fmt.Errorf("stop the agent: %w", err)
	}
	store := s.cfg.Agent().StoreID
	for asked := map[string]bool{}; ; {
		all, err := s.client.list(ctx)
		if err != nil {
			return fmt.Errorf("stop the agent: %w", err)
		}
		living, _ := jobsOf(all, store)
		if len(living) == 0 {
			s.current = nil
			s.set(PhaseStopped, "the agent was stopped on demand")
			return nil
		}
		for _, j := range living {
			if asked[j.SubmissionId] {
				continue
			}
			if err := s.client.stop(ctx, j.SubmissionId); err != nil {
				return fmt.Errorf("stop the agent: %w", err)
			}
			asked[j.SubmissionId] = true
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("stop the agent: job %s still runs: %w", living[0].SubmissionId, ctx.Err())
		case <-time.After(s.cfg.Poll):
		}
	}
}

// jobsOf picks the jobs of a store, the newest first.
func jobsOf(all []utiltypes.RayJobInfo, store string) (living, ended []utiltypes.RayJobInfo) {
	for _, j := range all {
		switch {
		case j.SubmissionId == "" || j.Metadata[metaStore] != store:
		case rayv1.IsJobTerminal(j.JobStatus):
			ended = append(ended, j)
		default:
			living = append(living, j)
		}
	}
	newest := func(a, b utiltypes.RayJobInfo) int {
		return cmp.Or(cmp.Compare(b.StartTime, a.StartTime), cmp.Compare(b.SubmissionId, a.SubmissionId))
	}
	slices.SortFunc(living, newest)
	slices.SortFunc(ended, newest)
	return living, ended
}

// newJobID is unique: Ray refuses an id that it has seen.
func newJobID(store string) string {
	random := make([]byte, 4)
	_, _ = rand.Read(random) // never fails
	return "dynctl-agent-" + store[:min(8, len(store))] + "-" + hex.EncodeToString(random)
}

// ended says in one line how a job ended and what to do.
func (c *client) ended(ctx context.Context, info utiltypes.RayJobInfo) error {
	e := &endError{
		job: info.SubmissionId, what: fmt.Sprintf("ended (%s)", info.JobStatus),
		cause: causeOfJob(info, c.log(ctx, info.SubmissionId)),
	}
	e.way = wayOf(e.cause)
	switch {
	case e.way == wayDeps:
		e.kind = ErrDeps
	case strings.Contains(e.cause, "Failed to download runtime_env file package"):
		e.kind = ErrNoPackage
	}
	return e
}

// log is what a job has written; empty where it cannot be had.
func (c *client) log(ctx context.Context, id string) string {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	log, err := c.jobs.GetJobLog(ctx, id)
	if err != nil || log == nil {
		return ""
	}
	return *log
}

// causeOfJob is why a job ended: its log says it better than Ray's message does, which
// repeats the log's end below its first line.
func causeOfJob(info utiltypes.RayJobInfo, log string) string {
	if cause := causeOf(log); cause != "" {
		return cause
	}
	message := info.Message
	if first, _, _ := strings.Cut(message, "\n"); strings.TrimSpace(log) != "" {
		message = first
	}
	return orElse(causeOf(message), "it wrote no log")
}

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}
