package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"dynctl/actors"
	"dynctl/state"
)

// usesStale reports whether an address which the actor was executed with is not the one at
// which infra is reached now. An address that infra does not have (yet) proves nothing.
func (s *server) usesStale(a *state.Actor) bool {
	for placeholder, value := range a.Uses {
		now, known := s.addresses[placeholder]
		if !known { // every worker asks for the same few
			now, _ = resolve(s.infra, placeholder)
			if s.addresses == nil {
				s.addresses = map[string]string{}
			}
			s.addresses[placeholder] = now
		}
		if now != "" && now != value {
			return true
		}
	}
	return false
}

// resolve reads {ip:infra/BUNDLE} or {port:infra/NAME} from the running unit.
func resolve(u *state.Unit, placeholder string) (string, bool) {
	kind, ref, ok := strings.Cut(strings.Trim(placeholder, "{}"), ":")
	unit, name, ok2 := strings.Cut(ref, "/")
	if !ok || !ok2 || unit != u.Unit {
		return "", false
	}
	for _, a := range u.Actors {
		if a.State != state.UnitRunning {
			continue
		}
		if port, ok := a.Ports[name]; kind == "port" && ok {
			return fmt.Sprint(port), true
		}
		if kind == "ip" && fmt.Sprint(a.Bundle) == name && a.IP != "" {
			return a.IP, true
		}
	}
	return "", false
}

// etcdStarted is when the managed etcd was last executed; zero when it is not managed or
// does not run.
func etcdStarted(s *server) (t time.Time) {
	if s.infra == nil {
		return t
	}
	for _, a := range s.infra.Actors {
		if _, ok := a.Ports[actors.PortEtcd]; ok && a.State == state.UnitRunning {
			t = a.StartedAt
		}
	}
	return t
}

// frontendCatchUp is how long the frontend may take, once etcd is back, to hear again of
// workers that leave: its watches wait for each other, and what it does not hear of gets
// requests (docs/dynamo.md, "When etcd is executed again"). 10 s were measured after an
// etcd that was away for 2 s.
const frontendCatchUp = 15 * time.Second

// frontendBehind says until when the frontend may not hear of a worker that leaves; zero:
// it hears of all.
func frontendBehind(s *server, now time.Time) time.Time {
	if s.behind == nil { // what it rests on does not change in a round
		s.behind = new(findBehind(s, now))
	}
	return *s.behind
}

func findBehind(s *server, now time.Time) time.Time {
	etcd := etcdStarted(s)
	heard := etcd.Add(frontendCatchUp)
	if etcd.IsZero() || !heard.After(now) {
		return time.Time{}
	}
	older := func(a state.Actor) bool { return a.Ports[actors.PortHTTP] != 0 && a.StartedAt.Before(etcd) }
	if !slices.ContainsFunc(s.infra.Actors, older) {
		return time.Time{}
	}
	return heard
}

// etcdSettle is how old an execution of etcd must be before absent instances prove that
// its data is gone.
const etcdSettle = time.Second

// registrationsLost reports whether etcd came back without the data that it had: the
// registry saw what a running worker had registered go with it; or, where it has not
// watched for long enough, a worker that registered before etcd's last execution is not
// there, nor is any other such. With its data, leases outlive the gap, and a worker that
// is missing alone has left by itself.
func registrationsLost(s *server, now time.Time) bool {
	if s.dataLost == nil { // what it rests on does not change in a round
		s.dataLost = new(findLost(s, now))
	}
	return *s.dataLost
}

func findLost(s *server, now time.Time) bool {
	started := etcdStarted(s)
	if started.IsZero() || !s.regs.Known {
		return false
	}
	missing, there := false, false
	for _, u := range s.units {
		for _, a := range u.Actors {
			switch {
			case a.State != state.UnitRunning || a.Lease == 0:
			case slices.Contains(s.regs.Lost, a.Lease):
				return true
			case !a.StartedAt.Before(started) || slices.Contains(s.regs.Left, a.Lease):
			case s.isRegistered(a.Lease):
				there = true
			default:
				missing = true
			}
		}
	}
	return missing && !there && now.Sub(started) >= etcdSettle
}

// registrationLost reports whether a unit's registration is not there, and has not left by
// itself.
func registrationLost(s *server, u *state.Unit) bool {
	started := etcdStarted(s)
	return slices.ContainsFunc(u.Actors, func(a state.Actor) bool {
		switch {
		case a.State != state.UnitRunning || a.Lease == 0 || s.isRegistered(a.Lease):
			return false
		case slices.Contains(s.regs.Lost, a.Lease):
			return true
		}
		return a.StartedAt.Before(started) && !slices.Contains(s.regs.Left, a.Lease)
	})
}

func (s *server) isRegistered(lease int64) bool { return len(s.instances[lease]) > 0 }
