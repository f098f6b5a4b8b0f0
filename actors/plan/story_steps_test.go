package plan_test

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"dynctl/actors"
	"dynctl/state"
)

// steps are what may happen in a story: the first words of a line, and what they do with
// the words that follow.
var steps = map[string]func(s *story, words []string){
	// seconds N: N rounds, with a second after each.
	"seconds": func(s *story, words []string) {
		n, err := strconv.Atoi(words[0])
		if err != nil {
			s.Fatalf("%v", err)
		}
		for range n {
			s.pass()
			s.tick()
		}
	},
	"exit": func(s *story, words []string) { s.each(words, func(u *state.Unit, a *state.Actor) { s.exit(u, a, 1) }) },
	"actor-dies": func(s *story, words []string) {
		s.each(words, func(u *state.Unit, a *state.Actor) { s.killActor(u, a) })
	},
	// untold UNIT: its actors were never told what to execute; unmade UNIT: they are not there.
	"untold": func(s *story, words []string) {
		s.each(words, func(u *state.Unit, a *state.Actor) {
			delete(s.instances[u.Server], a.Lease)
			*a = state.Actor{Name: a.Name, State: state.UnitExited}
		})
		s.unit(words[0]).State = state.UnitExited
	},
	"unmade": func(s *story, words []string) {
		s.each(words, func(u *state.Unit, a *state.Actor) { delete(s.instances[u.Server], a.Lease) })
		s.unit(words[0]).State, s.unit(words[0]).Actors = state.UnitExited, nil
	},
	// silent UNIT: an order finds that its actor answers nothing.
	"silent": func(s *story, words []string) {
		s.unit(words[0]).Reason, s.unit(words[0]).Message = actors.UnitActorSilent, words[0]+" answered nothing"
	},
	"group-lost":     func(s *story, words []string) { s.losePlacement(s.unit(words[0])) },
	"etcd-exits":     func(s *story, _ []string) { s.service(actors.LabelEtcd) },
	"frontend-exits": func(s *story, _ []string) { s.service(actors.LabelFrontend) },
	"etcd-emptied":   func(s *story, _ []string) { s.emptyEtcd("", nil) },
	"node-lost":      func(s *story, words []string) { s.loseNode(s.nodeAt(words[0])) },
	"node-back":      func(s *story, words []string) { s.nodes[s.nodeAt(words[0])].Alive = true },
	"node-grows": func(s *story, words []string) {
		gpus, err := strconv.Atoi(words[1])
		if err != nil {
			s.Fatalf("%v", err)
		}
		s.nodes[s.nodeAt(words[0])].GPUs = gpus
	},
	"agent":    func(s *story, words []string) { s.agentAway = words[0] == "silent" },
	"observed": func(s *story, words []string) { s.unsynced = words[0] == "incomplete" },
	"etcd":     func(s *story, words []string) { s.etcdAway = words[0] == "unreachable" },
	"frontend": func(s *story, words []string) { s.frontendAway = words[0] == "unreachable" },
	// delete MODEL: by dynctl. removed MODEL: by another program. lost MODEL: the key is
	// not there, and nothing says that it was deleted.
	"delete":     func(s *story, words []string) { s.delete(state.ModelKey("default", words[0]), true) },
	"removed":    func(s *story, words []string) { s.delete(state.ModelKey("default", words[0]), false) },
	"lost":       func(s *story, words []string) { delete(s.specs, state.ModelKey("default", words[0])) },
	"confirm":    func(s *story, _ []string) { s.confirmed["default"] = s.revision },
	"unreadable": func(s *story, words []string) { s.reject(words[0], nil) },
	// broken GENERATION [ROLE]: its processes exit as soon as they are executed.
	"broken": func(s *story, words []string) {
		if len(words) > 1 {
			s.brokenRole[s.generation(words[0])] = words[1]
			return
		}
		s.broken[s.generation(words[0])] = true
	},
	"repaired": func(s *story, _ []string) { clear(s.broken); clear(s.brokenRole) },
	// found UNIT STORE: a unit that is there already; of a store, or "dead-driver" or
	// "live-driver" of Curator.
	"found": func(s *story, words []string) {
		u := &state.Unit{Server: "default", Unit: words[0], Generation: words[0][:8], State: state.UnitRunning, JobAlive: words[1] == "live-driver"}
		if !strings.HasSuffix(words[1], "-driver") {
			u.StoreID = words[1]
		}
		s.units[u.Key()] = u
	},
	// lease-unclaimed MODEL: a worker registered of which no actor tells.
	"lease-unclaimed": func(s *story, words []string) {
		s.lease++
		u := s.of(words[0])[0]
		i := s.instances["default"][u.Actors[0].Lease]
		i.Lease = s.lease
		s.instances["default"][i.Lease] = i
	},
}

// happens does what a line says.
func (s *story) happens(words []string) {
	if len(words) == 0 {
		return
	}
	do, ok := steps[words[0]]
	if !ok {
		s.Fatalf("%s cannot happen: it is none of %v", words[0], slices.Sorted(maps.Keys(steps)))
	}
	s.changed = true
	do(s, words[1:])
}

// unit finds a unit by its name with the generation's name, as a1_a_DP0.
func (s *story) unit(name string) *state.Unit {
	id := name
	if generation, rest, ok := strings.Cut(name, "_"); ok {
		id = s.generation(generation) + "_" + rest
	}
	u := s.units[state.UnitKey{Server: "default", Unit: id}]
	if u == nil {
		s.Fatalf("there is no unit %s:\n%s", name, s.observed())
	}
	return u
}

// each does something to every actor of the units named.
func (s *story) each(units []string, do func(*state.Unit, *state.Actor)) {
	for _, name := range units {
		u := s.unit(name)
		for i := range u.Actors {
			do(u, &u.Actors[i])
		}
	}
}

// service ends one process of the infra unit.
func (s *story) service(label string) {
	u := s.unit(actors.InfraUnit)
	for i := range u.Actors {
		if strings.HasSuffix(u.Actors[i].Name, label) {
			s.exit(u, &u.Actors[i], 1)
		}
	}
}

func (s *story) nodeAt(id string) int {
	i := slices.IndexFunc(s.nodes, func(n state.Node) bool { return n.ID == id })
	if i < 0 {
		s.Fatalf("there is no node %s", id)
	}
	return i
}
