// Package logs prints the logs of workers, of etcd, NATS and frontends, which the agent
// reads on the nodes.
package logs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/cmd/dynctl/internal/prose"
	"dynctl/cmd/internal/agentlogs"
	"dynctl/state"
	"dynctl/state/kv"
)

const (
	followTick = 500 * time.Millisecond
	// relist is in ticks: so often those that joined or left are looked for.
	relist = 4
)

// Reader prints logs, each line with the worker it comes from where there are several.
// What is no log line goes to Err.
type Reader struct {
	Client   *kv.Client
	Out, Err io.Writer
	Now      func() time.Time
	// Dim writes what is not of the log itself; Colour leaves the colours of a log.
	Dim    func(string) string
	Colour bool

	Previous bool // the log of the attempt before
	Lines    int  // begin with the last lines; -1: all

	mu     sync.Mutex // of the output
	failed error      // the first write to Out that failed
}

// stream is one log while it is read.
type stream struct {
	target
	prefix string
	at     *agentlogs.Position
	rest   string // a line that is not finished
	said   string // the last trouble that was told
}

// Print prints one log after the other. [exit.NotFound] where nothing runs that could have
// one, [exit.Unreachable] where the agent does not answer.
func (r *Reader) Print(ctx context.Context, sel Selection) error {
	streams, err := r.streams(ctx, sel)
	if err != nil {
		return err
	}
	if len(streams) == 0 {
		return r.nothingRan(ctx, sel)
	}
	agent, err := r.Client.GetAgent(ctx)
	if err != nil && !errors.Is(err, kv.ErrNotFound) {
		return exit.Stored(err)
	}
	for _, s := range streams {
		err := r.pull(ctx, s)
		r.flush(s)
		if refused, ok := errors.AsType[*agentlogs.Refusal](err); ok {
			r.lastWords(s, refused, agent.Session)
			continue
		}
		if err != nil {
			return r.away(ctx, err, agent)
		}
		switch {
		case r.Previous && s.at.File == 0:
			r.note("%s: no log before this one (attempt %d)", s.name, s.actor.Attempt)
		case s.at.Attempt == 0:
			r.note("%s: %s, nothing was executed yet", s.name, s.actor.State)
		default:
			r.why(s.name, s.at.Attempt, s.actor.Exit, s.actor.LastExit)
		}
	}
	return nil
}

// away is the error of an agent that does not answer.
func (r *Reader) away(ctx context.Context, err error, agent state.Agent) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case !errors.Is(err, agentlogs.ErrAgentAway):
		return exit.Stored(err)
	case agent.Incarnation == 0:
		return exit.Errorf(exit.Unreachable, "%w, so logs cannot be read: none has ever reported (see `dynctl doctor`)", agentlogs.ErrAgentAway)
	}
	return exit.Errorf(exit.Unreachable, "%w, so logs cannot be read: its last heartbeat was %s ago (see `dynctl doctor`)", agentlogs.ErrAgentAway, prose.Age(r.Now(), agent.At))
}

// Follow prints what is there and goes on until interrupted. Only an agent that
// does not answer at the beginning ends it.
func (r *Reader) Follow(ctx context.Context, sel Selection) error {
	streams, err := r.streams(ctx, sel)
	if err != nil {
		return err
	}
	if err := r.round(ctx, streams); err != nil {
		agent, _ := r.Client.GetAgent(ctx)
		return r.away(ctx, err, agent)
	}
	if len(streams) == 0 {
		r.note("%s runs nothing yet; waiting", sel.Name)
	}
	tick := time.NewTicker(followTick)
	defer tick.Stop()
	trouble := false
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if n%relist == 0 {
			if now, err := r.streams(ctx, sel); err == nil {
				streams = r.merge(streams, now)
			}
		}
		err := r.round(ctx, streams)
		if failed := r.writeError(); failed != nil {
			return failed // nobody reads on
		}
		if ctx.Err() == nil && (err != nil) != trouble {
			trouble = err != nil
			r.note("%s", map[bool]string{true: "the agent does not answer; waiting for it", false: "the agent answers again"}[trouble])
		}
	}
}

// round reads all logs at once: one that is slow holds up no other.
func (r *Reader) round(ctx context.Context, streams []*stream) error {
	errs := make([]error, len(streams))
	var all sync.WaitGroup
	for i, s := range streams {
		all.Go(func() {
			err := r.pull(ctx, s)
			refused, ok := errors.AsType[*agentlogs.Refusal](err)
			switch {
			case !ok:
				errs[i] = err
			case refused.Message != s.said:
				s.said = refused.Message
				r.note("%s: %s; waiting for it", s.name, refused.Message)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// streams are the logs that are selected now, unread. With one there is no prefix.
func (r *Reader) streams(ctx context.Context, sel Selection) ([]*stream, error) {
	units, err := r.Client.ListUnits(ctx)
	if err != nil {
		return nil, exit.Stored(err)
	}
	targets, err := sel.targets(units)
	if err != nil {
		return nil, err
	}
	width := 0
	for _, t := range targets {
		width = max(width, len(t.name))
	}
	var streams []*stream
	for _, t := range targets {
		s := &stream{target: t}
		if len(targets) > 1 {
			s.prefix = fmt.Sprintf("%-*s | ", width, t.name)
		}
		streams = append(streams, s)
	}
	return streams, nil
}

// merge goes on with the logs that are still there, begins with those that joined,
// from their first line, and says which have left.
func (r *Reader) merge(before, now []*stream) []*stream {
	known := map[string]*stream{}
	for _, s := range before {
		known[s.unit.Unit+"/"+s.actor.Name] = s
	}
	for _, s := range now {
		id := s.unit.Unit + "/" + s.actor.Name
		if old := known[id]; old != nil {
			s.at, s.rest, s.said = old.at, old.rest, old.said
			delete(known, id)
		} else {
			s.at = &agentlogs.Position{}
		}
	}
	for _, s := range before {
		if known[s.unit.Unit+"/"+s.actor.Name] != nil {
			r.flush(s)
			r.note("--- %s: gone ---", s.name)
		}
	}
	return now
}

// pull prints all that a log has to say now.
func (r *Reader) pull(ctx context.Context, s *stream) error {
	for {
		reply, err := r.ask(ctx, s)
		if err != nil {
			return err
		}
		s.said = ""
		if s.at != nil && s.at.Attempt != reply.Attempt {
			r.flush(s)
			r.note("--- %s: attempt %d ---", s.name, reply.Attempt)
		}
		s.at = &reply.Position
		lines := strings.Split(s.rest+reply.Text, "\n")
		s.rest = lines[len(lines)-1]
		r.print(s.prefix, lines[:len(lines)-1])
		if err := r.writeError(); err != nil || !reply.More {
			return err
		}
	}
}

func (r *Reader) ask(ctx context.Context, s *stream) (agentlogs.Reply, error) {
	return agentlogs.Ask(ctx, r.Client.JetStream().Conn(), agentlogs.Request{
		Server: s.unit.Server, Unit: s.unit.Unit, Actor: s.actor.Name, Previous: r.Previous, Lines: r.Lines, Position: s.at,
	})
}

// lastWords stands in for the log of an actor that cannot be asked.
func (r *Reader) lastWords(s *stream, refused *agentlogs.Refusal, session string) {
	r.note("%s: %s; its log may lie at %s:%s", s.name, refused.Message, prose.OrDash(s.actor.IP), agentlogs.Path(session, s.unit, s.actor))
	if e := s.actor.Exit; e != nil {
		r.note("%s: attempt %d ended %s ago: code %d, %s", s.name, e.Attempt, prose.Age(r.Now(), e.At), e.Code, e.Reason)
		r.tail(s.prefix, e.LogTail)
		r.why(s.name, e.Attempt, e)
	}
}

// why says what ended the attempt whose log was printed: the cause may stand above
// the lines that were asked for.
func (r *Reader) why(name string, attempt int, exits ...*state.Exit) {
	for _, e := range exits {
		if e != nil && e.Attempt == attempt && e.Cause != "" {
			r.note("%s: attempt %d ended with code %d: %s", name, e.Attempt, e.Code, prose.WithHint(e.Cause, e.Hint))
			return
		}
	}
}

// tail prints the end of a log that was recorded.
func (r *Reader) tail(prefix, text string) {
	if text == "" {
		return
	}
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if r.Lines >= 0 {
		lines = lines[max(0, len(lines)-r.Lines):]
	}
	r.print(prefix, lines)
}

// flush prints a line that was never finished.
func (r *Reader) flush(s *stream) {
	if s.rest != "" {
		r.print(s.prefix, []string{s.rest})
		s.rest = ""
	}
}

func (r *Reader) print(prefix string, lines []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, line := range lines {
		if !r.Colour {
			line = agentlogs.Plain(line)
		}
		if _, err := fmt.Fprintln(r.Out, r.Dim(prefix)+strings.TrimRight(line, "\r")); err != nil && r.failed == nil {
			r.failed = err
		}
	}
}

// writeError is the first write of a log line that failed.
func (r *Reader) writeError() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

// note says what is no log line.
func (r *Reader) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.Err, format+"\n", args...)
}
