package state

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Bounds of counters that fence: whoever counts past them is lying or broken, and
// what would follow could not be counted any more.
const (
	// MaxCounter is the highest epoch, incarnation or revision: the largest whole
	// number that every JSON reader can hold.
	MaxCounter = 1 << 53
	// MaxCounterStep is by how much one may be above the last that is known.
	MaxCounterStep = 1 << 20
)

// CheckCounter refuses an epoch or incarnation that cannot be one; last is the
// highest that is known, 0 where none is.
func CheckCounter(name string, n, last uint64) error {
	switch {
	case n > MaxCounter:
		return fmt.Errorf("%s is %d; none is above 2^53", name, n)
	case last > 0 && n > last && n-last > MaxCounterStep:
		return fmt.Errorf("%s is %d, more than 2^20 above the last one, %d", name, n, last)
	}
	return nil
}

// maxAhead is how far a stored time may lie ahead of the moment that its value was
// written: what waits for a moment in another century waits for ever.
const maxAhead = 24 * time.Hour

// Bounds of texts that are shown; what is longer is cut off.
const (
	maxReasonLength  = 256
	maxMessageLength = 4 << 10
)

var generationPattern = regexp.MustCompile(`^[0-9a-f]{8}$`)

// check collects the first thing that is wrong with a value.
type check struct{ err error }

func (c *check) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf(format, args...)
	}
}

// count checks whole numbers that are counts, by name.
func (c *check) count(name string, n int) {
	if n < 0 || n > maxWhole {
		c.fail("%s is %d; write a number from 0 to %d", name, n, maxWhole)
	}
}

// when checks a time against the moment at which the value was written; a zero one
// says nothing.
func (c *check) when(name string, t, written time.Time) {
	switch {
	case t.IsZero():
	case t.Year() < 1970:
		c.fail("%s is %s, before there were clocks to say so", name, t.Format(time.RFC3339))
	case !written.IsZero() && t.After(written.Add(maxAhead)):
		c.fail("%s is %s, after the value was written (%s)", name, t.Format(time.RFC3339), written.Format(time.RFC3339))
	}
}

func (c *check) generation(g string) {
	if g != "" && !generationPattern.MatchString(g) {
		c.fail("generation %.40q; want 8 hex digits", g)
	}
}

func clip(s *string, length int) {
	if len(*s) > length {
		*s = strings.ToValidUTF8((*s)[:length], "")
	}
}

// CheckAgent says what keeps a value from being one that an agent wrote; nil: nothing.
func CheckAgent(a Agent) error {
	var c check
	if a.Incarnation == 0 {
		c.fail("incarnation is 0; they count from 1")
	}
	if err := CheckCounter("incarnation", a.Incarnation, 0); err != nil {
		c.fail("%w", err)
	}
	if err := CheckCounter("epoch", a.Epoch, 0); err != nil {
		c.fail("%w", err)
	}
	return c.err
}

// CheckNode says what keeps a value from being that of a node.
func CheckNode(n Node) error {
	var c check
	if n.ID == "" {
		c.fail("it has no id")
	}
	for program, p := range n.Parsers {
		if len(p.Table) > MaxParserTable {
			c.fail("the table of %.40q has %d bytes; none has more than %d", program, len(p.Table), MaxParserTable)
		}
	}
	for name, free := range map[string]*float64{"freeGpus": n.FreeGPUs, "freeCpus": n.FreeCPUs} {
		if free != nil && !(*free >= 0 && *free <= maxWhole) {
			c.fail("%s is %v; write a number from 0 to %d", name, *free, maxWhole)
		}
	}
	return c.err
}

var (
	unitStates  = []UnitState{UnitPending, UnitPlacing, UnitWaiting, UnitStarting, UnitRunning, UnitExited, UnitStopping}
	actorStates = append(slices.Clone(unitStates), ActorDead, "")
)

// CheckUnit says what keeps a value from being that of a unit, stored at a moment,
// and cuts off texts that are too long to be shown.
func CheckUnit(u *Unit, stored time.Time) error {
	var c check
	if !ValidServerName(u.Server) {
		c.fail("server %.80q is no name of one", u.Server)
	}
	if u.Unit == "" || len(u.Unit) > 255 {
		c.fail("unit %.80q is no id of one", u.Unit)
	}
	if !slices.Contains(unitStates, u.State) {
		c.fail("state %.40q; want one of %v", u.State, unitStates)
	}
	if err := CheckCounter("incarnation", u.Incarnation, 0); err != nil {
		c.fail("%w", err)
	}
	c.generation(u.Generation)
	for name, n := range map[string]int{"replica": u.Replica, "worker": u.Worker, "attempt": u.Attempt, "failures": u.Failures} {
		c.count(name, n)
	}
	for _, b := range u.PlacementGroup.Bundles {
		c.count("a bundle's CPU", b.CPU)
		c.count("a bundle's GPU", b.GPU)
	}
	// Its own times are on the agent's clock, as is the moment that it was sent.
	written := u.SentAt
	if written.IsZero() {
		written = stored
	}
	c.when("sentAt", u.SentAt, time.Time{})
	c.when("changedAt", u.ChangedAt, written)
	clip(&u.Reason, maxReasonLength)
	clip(&u.Message, maxMessageLength)
	names := map[string]bool{}
	for i := range u.Actors {
		a := &u.Actors[i]
		if a.Name == "" || names[a.Name] {
			c.fail("actor %.80q is there twice, or has no name", a.Name)
		}
		names[a.Name] = true
		c.actor(a, written)
	}
	return c.err
}

func (c *check) actor(a *Actor, written time.Time) {
	if !slices.Contains(actorStates, a.State) {
		c.fail("actor %.80q: state %.40q; want one of %v", a.Name, a.State, actorStates)
	}
	for name, n := range map[string]int{"bundle": a.Bundle, "attempt": a.Attempt, "failures": a.Failures, "pid": a.PID, "childPid": a.ChildPID} {
		c.count(name, n)
	}
	for name, port := range a.Ports {
		if port < 0 || port > 65535 {
			c.fail("port %.40q is %d; write a number from 0 to 65535", name, port)
		}
	}
	c.when("startedAt", a.StartedAt, written)
	c.when("readyAt", a.ReadyAt, written)
	if a.Exit == nil {
		return
	}
	c.count("exit.attempt", a.Exit.Attempt)
	c.when("exit.at", a.Exit.At, written)
	if code := a.Exit.Code; code < math.MinInt32 || code > math.MaxInt32 {
		c.fail("exit.code is %d", code)
	}
	if !(a.Exit.ReadyFor >= 0 && a.Exit.ReadyFor <= maxWhole) {
		c.fail("exit.readyFor is %v; write seconds from 0 to %d", a.Exit.ReadyFor, maxWhole)
	}
	clip(&a.Exit.Reason, maxReasonLength)
}

// CheckStatus says what keeps a value from being a status of the key that it stands
// under, stored at a moment.
func CheckStatus(s Status, key Key, stored time.Time) error {
	var c check
	c.statusKey(s, key)
	for name, n := range map[string]uint64{"observedRevision": s.ObservedRevision, "acceptedRevision": s.AcceptedRevision, "deletionBlocked": s.DeletionBlocked} {
		if err := CheckCounter(name, n, 0); err != nil {
			c.fail("%w", err)
		}
	}
	c.generation(s.Generation)
	c.conditions(s.Conditions, stored)
	for name, r := range s.Roles {
		for _, n := range []int{r.Desired, r.Running, r.Ready, r.Updated, r.Restarts} {
			c.count("a count of role "+name, n)
		}
	}
	return c.err
}

// statusKey refuses a status that names another object than the key that it stands under.
func (c *check) statusKey(s Status, key Key) {
	if s.Key != "" && s.Key != key.String() {
		c.fail("it says that it is %.80q", s.Key)
	}
	if s.Kind != "" && s.Kind != key.Kind || s.Server != "" && s.Server != key.Server || s.Name != "" && s.Name != key.Name {
		c.fail("it says that it is of %.40s %.80q of server %.80q", s.Kind, s.Name, s.Server)
	}
}

func (c *check) conditions(conditions []Condition, stored time.Time) {
	types := map[string]bool{}
	for _, x := range conditions {
		if x.Type == "" || types[x.Type] {
			c.fail("condition %.40q is there twice, or has no type", x.Type)
		}
		types[x.Type] = true
		if x.Status != StatusTrue && x.Status != StatusFalse && x.Status != StatusUnknown {
			c.fail("condition %.40q: status %.40q; want True, False or Unknown", x.Type, x.Status)
		}
		c.when("lastTransitionTime", x.LastTransitionTime, stored)
	}
}
