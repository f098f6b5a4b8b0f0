package app

import (
	"time"

	"dynctl/actors"
	"dynctl/cmd/internal/parsers"
	"dynctl/state"
)

// memory is what the loop knows from one round to the next. None of it is needed: a
// reconciler that begins without any reads and asks for more than it had to, and waits
// once more where something has to be seen twice.
type memory struct {
	// What spares work.

	// oracle makes the rounds; parsers spares unpacking what the nodes tell of command lines.
	oracle  oracle
	parsers parsers.Cache
	// alike spares comparing statuses that were found equal to what is stored.
	alike alike
	// inForce are the statuses that are in force, from round to round.
	inForce stored
	// stands are the specs that stand as they were accepted.
	stands stands
	// served are the models that the frontends are asked for.
	served served
	// heard are the servers whose statuses need not wait for a first word of them.
	heard heard
	// decoded are the documents that were read and are not accepted as they stand.
	decoded map[string]decodedSpec

	// What the plan before saw, for the next one.

	suspects  map[state.UnitKey]time.Time
	unclaimed map[actors.LeaseKey]time.Time
	whole     map[actors.GenerationKey]actors.Whole
	reached   map[string]reach // where each server's etcd and frontend were
	broken    []string         // the invariants that the plan broke, where plans are checked

	// What was asked for and is on its way.

	sent    map[string]sentCommand  // commands, by id
	touched map[gateTouch]time.Time // when a gate is to be put or renewed again
	written map[string]state.Status // overlays the status view until the watch has caught up
	writes  *writes                 // statuses that the store has not answered yet
	warmed  time.Time               // when the agent was told last which worker processes to keep
	refused retries                 // statuses that the store did not take
	rewrite map[string]bool         // statuses that are in force and do not stand in the bucket

	// What was told, so that it is told once.

	told    map[actors.Fact]bool // by the round before
	orphans map[state.UnitKey]string
	agent   agentTold
	// agentFailure is the last one; empty: none, or it is over.
	agentFailure string
}

func newMemory(a *App) memory {
	return memory{
		oracle: oracle{app: a}, decoded: map[string]decodedSpec{}, written: map[string]state.Status{}, writes: newWrites(), refused: retries{},
		sent: map[string]sentCommand{}, orphans: map[state.UnitKey]string{},
	}
}

// forget is for a new term: another leader may have written and told meanwhile, so
// nothing is believed to be on its way or told.
func (m *memory) forget() {
	clear(m.sent)
	clear(m.written)
	clear(m.refused)
	m.writes.forget()
	m.told, m.alike = nil, nil
	m.oracle.newTerm(time.Now())
}
