package main

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"dynctl/actors/simray"
	"dynctl/events"
	"dynctl/state"
)

// heard is what the agent has read of the stream, in the order in which it has.
type heard struct {
	mu  sync.Mutex
	all []simray.Heard
}

func (h *heard) add(d simray.Heard) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, d)
}

func (h *heard) list() []simray.Heard {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.all)
}

// onceEach fails if something was executed twice, a term was led twice, what the agent has read
// is not what the stream holds, or a command of an older epoch was carried out after one of a
// newer.
func (s *trioStore) onceEach() {
	s.t.Helper()
	units, err := s.sim.Units()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, u := range units {
		for _, a := range u.Actors {
			if a.Attempt > 1 {
				s.t.Errorf("%s was executed %d times", u.Unit, a.Attempt)
			}
		}
	}
	commands, epochs := s.stored()
	read := s.readAll(commands)
	for _, wrong := range twoTruths(commands, read) {
		s.t.Error(wrong)
	}
	refused, wrong := refusals(commands, read)
	for _, w := range wrong {
		s.t.Error(w)
	}
	slices.Sort(epochs)
	if twice := len(epochs) - len(slices.Compact(slices.Clone(epochs))); twice > 0 {
		s.t.Errorf("epochs %v: %d were led twice", epochs, twice)
	}
	s.t.Logf("%d commands for %d units over epochs %v, read %d times; of an older epoch and refused: %+v", len(commands), len(units), epochs, len(read), refused)
}

// stored are the commands in the stream, by their order, and the epochs that were led.
func (s *trioStore) stored() (commands []events.Event, epochs []uint64) {
	s.t.Helper()
	for e, err := range events.Tail(s.t.Context(), s.js, events.TailOptions{FromSeq: 1}) {
		if err != nil {
			s.t.Fatal(err)
		}
		switch e.Type {
		case events.TypeStart, events.TypeStop, events.TypeSweep:
			commands = append(commands, e)
		case events.TypeLeaderElected:
			epochs = append(epochs, e.Data.Epoch)
		}
	}
	return commands, epochs
}

// readAll waits until the agent has read all of them: a delivery that was lost on its way is
// repeated after 10 s.
func (s *trioStore) readAll(commands []events.Event) []simray.Heard {
	s.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		read := s.heard.list()
		known := map[uint64]bool{}
		for _, d := range read {
			known[d.Sequence] = true
		}
		missing := slices.DeleteFunc(slices.Clone(commands), func(e events.Event) bool { return known[e.Sequence] })
		if len(missing) == 0 {
			return read
		}
		if time.Now().After(end) {
			s.t.Fatalf("%d commands were never read, the first is %+v", len(missing), missing[0])
		}
	}
}

// twoTruths are the commands that were read and are not what the stream holds: a server that
// is cut off must not hand out what the others never agreed to.
func twoTruths(commands []events.Event, read []simray.Heard) (wrong []string) {
	stored := map[uint64]simray.Heard{}
	for _, e := range commands {
		stored[e.Sequence] = simray.Heard{Sequence: e.Sequence, Verb: e.Type, Unit: state.UnitKey{Server: e.Data.Server, Unit: e.Data.Unit}, Epoch: e.Data.Epoch}
	}
	for _, d := range read {
		d.Refused = ""
		if have, ok := stored[d.Sequence]; !ok || have != d {
			wrong = append(wrong, fmt.Sprintf("%+v was read, and the stream holds %+v", d, have))
		}
	}
	return wrong
}

// refusedFor counts the refusals of an older epoch by what made them late.
type refusedFor struct {
	Stored   int // in the stream they stand behind a newer epoch
	Repeated int // they had been read before the newer epoch; their acknowledgement was lost
	Overtook int // they had been lost on the way; the newer epoch was read before the repeat
}

// refusals are the commands that were refused for their epoch. The order of the stream alone
// does not tell which: the server repeats a delivery whose acknowledgement has not reached it,
// or that has not reached the agent, and by then there may be a newer epoch. Both are refused
// rightly: the first was carried out when it was read, the second is asked for again by the
// reconciler that leads, which sees nothing of it.
func refusals(commands []events.Event, read []simray.Heard) (n refusedFor, wrong []string) {
	behind := map[uint64]bool{}
	highest := uint64(0)
	for _, e := range commands {
		behind[e.Sequence] = e.Data.Epoch < highest
		highest = max(highest, e.Data.Epoch)
	}
	before := map[uint64]bool{}
	newest, last := uint64(0), uint64(0) // epoch and sequence that were read
	for _, d := range read {
		refused := d.Refused == simray.RefusedEpoch
		switch {
		case refused != (d.Epoch < newest):
			wrong = append(wrong, fmt.Sprintf("%+v after epoch %d", d, newest))
		case !refused: // and nothing newer was read before it
		case behind[d.Sequence]:
			n.Stored++
		case before[d.Sequence]:
			n.Repeated++
		case d.Sequence < last:
			n.Overtook++
		default:
			wrong = append(wrong, fmt.Sprintf("%+v was refused, and nothing newer stands before it", d))
		}
		before[d.Sequence] = true
		last = max(last, d.Sequence)
		if d.Refused == "" {
			newest = max(newest, d.Epoch)
		}
	}
	return n, wrong
}
