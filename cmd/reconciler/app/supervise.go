package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"dynctl/actors"
	"dynctl/actors/ray"
	"dynctl/state"
	"dynctl/state/kv"
)

// never is the age of a heartbeat that was never sent.
const never = 24 * time.Hour

// supervise keeps the agent alive for as long as the term lasts: only the
// reconciler that acts may submit it.
func (a *App) supervise(t kv.Term) {
	s := ray.New(ray.Config{
		Resolver: a.resolver, Token: ray.TokenFromEnv, Package: a.pkg, Programs: a.programs(), Log: a.log,
		Agent: func() ray.AgentConfig {
			advertised, creds := a.agentCreds()
			return ray.AgentConfig{NATSURL: advertised, NATSCreds: creds, StoreID: a.views.StoreID(),
				RayNamespace: a.cfg.RayNamespace, BinDirs: a.cfg.BinDirs, CacheDir: a.cfg.cacheDir(),
				Programs: a.programs().URI(), Protocol: state.SpokenProtocol(), Epoch: t.Epoch}
		},
		Heartbeat: a.heartbeat, Order: a.standbyOrders(),
	})
	a.supervisor.Store(s)
	a.supervised.Go(func() {
		if err := s.Run(t.Ctx); err != nil {
			a.log.Error("supervision of the agent ended", "err", err)
		}
	})
	a.supervised.Go(func() {
		for {
			select {
			case <-t.Ctx.Done():
				return
			case <-s.Changed():
				a.loop.Kick()
			}
		}
	})
}

// standbyOrders is how agents that stand by are told what to do; nil where none is wanted.
func (a *App) standbyOrders() func(context.Context, string, state.StandbyOrder) (state.StandbyAnswer, error) {
	if !a.cfg.StandbyAgent {
		return nil
	}
	return func(ctx context.Context, job string, order state.StandbyOrder) (answer state.StandbyAnswer, err error) {
		raw, err := json.Marshal(order)
		if err != nil {
			return answer, fmt.Errorf("an order to a standby agent: %w", err)
		}
		m, err := a.nc.RequestWithContext(ctx, state.SubjectStandby+"."+job, raw)
		switch {
		case errors.Is(err, nats.ErrNoResponders):
			return answer, fmt.Errorf("an order to the standby agent %s: %w: %w", job, ray.ErrNotListening, err)
		case err != nil:
			return answer, fmt.Errorf("an order to the standby agent %s: %w", job, err)
		}
		if err := json.Unmarshal(m.Data, &answer); err != nil {
			return state.StandbyAnswer{}, fmt.Errorf("the answer of the standby agent %s: %w", job, err)
		}
		return answer, nil
	}
}

// standby is the agent that is to wait beside the one in charge; nil where none is to, or
// another reconciler supervises them.
func (a *App) standby() *state.StandbyAgent {
	if s := a.supervisor.Load(); s != nil && !a.standsBy() {
		return s.Standby()
	}
	return nil
}

// standbyText is the same for people; empty where nothing is to be said of it.
func (a *App) standbyText() string {
	switch b := a.standby(); {
	case b == nil:
	case b.State == state.StandbyReady:
		return "another one stands by"
	default:
		return "none stands by yet, so a successor would take some seconds"
	}
	return ""
}

// supervisedFailure is why no agent stays, as the supervisor of this process finds it;
// nil while one does, and where this process supervises none.
func (a *App) supervisedFailure() *state.AgentFailure {
	if f := protocolMismatch(a.views.Observed().Agent); f != nil {
		return f
	}
	if s := a.supervisor.Load(); s != nil {
		if f := s.State().Failing; f.Message != "" {
			return &f
		}
	}
	return nil
}

// protocolMismatch is why nothing can be said to an agent; nil: it can. The reconciler that
// leads brings an agent of its own, so it lasts for as long as that cannot be started.
func protocolMismatch(agent *state.Agent) *state.AgentFailure {
	ours := state.SpokenProtocol()
	if agent == nil || ours.Common(agent.Speaks()) != 0 {
		return nil
	}
	return &state.AgentFailure{
		Reason: actors.ProtocolMismatch,
		Message: fmt.Sprintf("the agent in charge (incarnation %d) speaks %s of the protocol, and this reconciler %s: it is sent nothing, and what runs goes on",
			agent.Incarnation, agent.Speaks(), ours),
		Way: "this reconciler replaces it with its own as soon as Ray takes a job: see that --ray-address answers; or run the reconciler that the agent came with",
	}
}

// supervisedNotice is what somebody should look at in the Ray cluster, as the supervisor
// of this process finds it; nil: nothing, or this process supervises none.
func (a *App) supervisedNotice() *state.RayNotice {
	if s := a.supervisor.Load(); s != nil {
		if n := s.State().Notice; n.Message != "" {
			return &n
		}
	}
	return nil
}

// rayNotice is the same as the reconciler that leads finds it.
func (a *App) rayNotice() *state.RayNotice {
	lease, known := a.elector.Leader()
	switch {
	case !known:
		return nil
	case lease.Holder == a.cfg.ID:
		return a.supervisedNotice()
	}
	return lease.RayNotice
}

// agentFailure is the same as the reconciler that leads finds it.
func (a *App) agentFailure() *state.AgentFailure {
	lease, known := a.elector.Leader()
	switch {
	case !known:
		return nil
	case lease.Holder == a.cfg.ID:
		return a.supervisedFailure()
	}
	return lease.AgentFailure
}

// heartbeat is the agent's last one as the observed bucket holds it.
func (a *App) heartbeat() (ray.Heartbeat, bool) {
	// An agent that nobody hears because its heartbeats are not stored needs no successor.
	if h := a.views.Health(); !h.Connected || a.diskFailed() {
		return ray.Heartbeat{}, false
	}
	now := time.Now()
	agent := a.heardAgent(a.views.Observed().Agent, now)
	if agent == nil {
		return ray.Heartbeat{Age: never}, true
	}
	beat := ray.Heartbeat{Incarnation: agent.Incarnation, Revision: agent.Revision, Job: agent.Job, Age: agent.Silence(now)}
	if agent.Programs != nil && agent.Programs.Wanted {
		beat.Wants = agent.Programs.Package
	}
	return beat, true
}

// findPrograms looks for etcd and nats-server beside this program, for nodes that have none.
func (a *App) findPrograms() ray.Programs {
	self, err := os.Executable()
	if err != nil {
		a.log.Warn("it is not known where this program lies, so etcd and nats-server are not looked for beside it", "err", err)
		return ray.Programs{}
	}
	found, err := ray.FindPrograms(filepath.Dir(self))
	if err != nil {
		a.log.Warn("etcd and nats-server cannot be given to nodes that have none", "err", err)
	}
	return found
}

// advertisedURL is what the agent dials.
func (a *App) advertisedURL() string {
	if a.cfg.AdvertiseNATSURL != "" {
		return a.demandTLS(a.cfg.AdvertiseNATSURL)
	}
	if a.natsTLS {
		return dialable(a.natsURL()) // no certificate is for all addresses
	}
	return a.natsURL()
}

// splitCredentials takes user and password, or the token, out of a NATS URL or a list of
// them, for they travel by themselves. Those of a list are the same.
func splitCredentials(list string) (string, map[string]string) {
	var creds map[string]string
	var urls []string
	for raw := range strings.SplitSeq(list, ",") {
		bare, found := splitOne(raw)
		urls = append(urls, bare)
		if creds == nil {
			creds = found
		}
	}
	return strings.Join(urls, ","), creds
}

func splitOne(raw string) (string, map[string]string) {
	u, err := url.Parse(raw)
	if err != nil || u.User == nil {
		return raw, nil
	}
	creds := map[string]string{"token": u.User.Username()}
	if password, has := u.User.Password(); has {
		creds = map[string]string{"user": u.User.Username(), "password": password}
	}
	u.User = nil
	return u.String(), creds
}
