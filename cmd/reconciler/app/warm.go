package app

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"dynctl/actors"
	"dynctl/state"
	"dynctl/state/kv"
)

const (
	// warmTimeout bounds the order of which worker processes to keep, and warmPause is
	// between two of them: the agent's heartbeat says what became of the last one.
	warmTimeout = 2 * time.Second
	warmPause   = 3 * time.Second
	// warmMemory is what a process that is kept ready takes of its node's memory, in MB
	// (docs/adr/0033).
	warmMemory = 45
)

// warm orders the worker processes that are to be kept ready, where the agent says that it
// keeps others. One that says nothing of them cannot keep any.
func (l *loop) warm(ctx context.Context, term kv.Term, in actors.Input, wanted map[string]int) {
	agent := in.Observed.Agent
	if wanted == nil || agent == nil || agent.Warm == nil || !term.Held() || in.Now.Sub(l.warmed) < warmPause {
		return
	}
	order := state.WarmOrder{StoreID: in.Policy.StoreID, Epoch: term.Epoch, Incarnation: agent.Incarnation,
		Version: state.WarmVersion(wanted), Nodes: wanted}
	if order.Version == agent.Warm.Version {
		return
	}
	l.warmed = in.Now
	go func() {
		ctx, cancel := context.WithTimeout(ctx, warmTimeout)
		defer cancel()
		log := l.app.log.With("nodes", len(wanted), "processes", processes(wanted))
		if err := l.effects.warm(ctx, order); err != nil {
			log.Warn("the agent was not told which worker processes to keep; it is told again", "err", err)
			return
		}
		log.Info("worker processes are kept ready")
	}()
}

func processes(nodes map[string]int) (n int) {
	for _, count := range nodes {
		n += count
	}
	return n
}

// warm asks the agent in charge.
func (a adapters) warm(ctx context.Context, order state.WarmOrder) error {
	raw, err := json.Marshal(order)
	if err != nil {
		return fmt.Errorf("which worker processes to keep: %w", err)
	}
	m, err := a.nc.RequestWithContext(ctx, state.SubjectWarm, raw)
	if err != nil {
		return fmt.Errorf("asking the agent: %w", err)
	}
	var answer state.WarmAnswer
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return fmt.Errorf("the agent's answer: %w", err)
	}
	if answer.Refused != "" {
		return fmt.Errorf("the agent refuses: %s", state.Clip(answer.Refused, 300))
	}
	return nil
}

// checkWarm tells of the worker processes that servers have kept ready.
func checkWarm(_ *App, s *snapshot) check {
	if s == nil || len(s.result.Warm) == 0 {
		return check{State: checkOK}
	}
	all := processes(s.result.Warm)
	wanted := fmt.Sprintf("%d worker processes (nodes: %d; some %d MB each)", all, len(s.result.Warm), warmMemory)
	switch warm := s.input.Observed.Agent.Warm; {
	case warm == nil:
		return check{State: checkDegraded, Text: wanted + " are wanted (warmPool), and the agent in charge is of a version that keeps none; starts take a second longer"}
	case warm.Trouble != "":
		return check{State: checkDegraded, Text: fmt.Sprintf("%d of %s are kept ready (warmPool); starts take a second longer elsewhere: %s", warm.Ready, wanted,
			state.Clip(warm.Trouble, 300))}
	default:
		return check{State: checkOK, Text: fmt.Sprintf("%d of %s are kept ready (warmPool)", min(warm.Ready, all), wanted)}
	}
}
