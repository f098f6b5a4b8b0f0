package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"dynctl/actors"
	"dynctl/state"
	"dynctl/state/kv"
)

// States of a check, from good to bad.
const (
	checkOK = "ok"
	// checkDegraded: specs are carried out, and somebody should look.
	checkDegraded = "degraded"
	// checkFailed: specs are not carried out.
	checkFailed = "failed"
)

// check is one thing that carrying specs out rests on.
type check = kv.Check

// checkers are all checks, in the order in which they are shown.
var checkers = []struct {
	name string
	look func(*App, *snapshot) check
}{
	{"specs", checkSpecs},
	{"nats", checkNATS},
	{kv.CheckDisk, checkDisk},
	{kv.CheckReplicas, checkReplicas},
	{"leader", checkLeader},
	{"agent", checkAgent},
	{"ray", checkRay},
	{kv.CheckWarm, checkWarm},
	{"round", checkRound},
	{"plan", checkPlans},
	{"lease", checkLease},
	{"values", checkValues},
	{"specs-missing", checkSpecsMissing},
	{kv.CheckKept, checkKept},
	{"policy", checkPolicy},
	{"tokens", checkTokens},
	{kv.CheckCertificate, checkCertificate},
	{kv.CheckDoors, checkDoors},
}

// checks looks at everything.
func (a *App) checks() []check {
	s := a.snapshot.Load()
	out := make([]check, 0, len(checkers))
	for _, c := range checkers {
		found := c.look(a, s)
		found.Name = c.name
		out = append(out, found)
	}
	return out
}

// worst is the state of all checks together.
func worst(checks []check) string {
	at := func(s string) int { return slices.Index([]string{checkOK, checkDegraded, checkFailed}, s) }
	out := checkOK
	for _, c := range checks {
		if at(c.State) > at(out) {
			out = c.State
		}
	}
	return out
}

func checkSpecs(a *App, s *snapshot) check {
	if a.isRestored() {
		return check{State: checkFailed, Text: "the store is being restored; if `dynctl restore` was interrupted, run it again: " +
			"nothing is started or healed until it is whole, and what runs goes on"}
	}
	if s == nil || !s.input.Desired.Synced {
		return check{State: checkFailed, Text: "not loaded from NATS yet"}
	}
	return check{State: checkOK}
}

// isRestored reports whether the store is not gone by because it is being restored.
func (a *App) isRestored() bool { return errors.Is(a.views.Health().Err, kv.ErrRestoring) }

func checkNATS(a *App, _ *snapshot) check {
	if !a.views.Health().Connected && !a.isRestored() {
		return check{State: checkFailed, Text: fmt.Sprintf("not connected to %s; start it", kv.Redact(a.natsURL()))}
	}
	return check{State: checkOK}
}

func checkLeader(a *App, _ *snapshot) check {
	lease, known := a.elector.Leader()
	switch {
	case !known && a.diskFailed():
		return check{State: checkDegraded, Text: "none: no lease can be written while the store takes no writes, so nothing is healed until then"}
	case !known:
		return check{State: checkFailed, Text: "none yet"}
	case lease.Holder != a.cfg.ID:
		return check{State: checkOK, Text: lease.Holder + " leads; this one stands by"}
	}
	return check{State: checkOK}
}

// standsBy reports whether another reconciler acts: this one needs no agent.
func (a *App) standsBy() bool {
	lease, known := a.elector.Leader()
	return known && lease.Holder != a.cfg.ID
}

func checkAgent(a *App, s *snapshot) check {
	if s != nil && !a.standsBy() {
		if f := s.input.AgentFailure; f != nil && f.Up {
			return check{State: checkDegraded, Text: actors.FailureText(*f), Reason: actors.FailureReason(*f)}
		} else if f != nil {
			return check{State: checkFailed, Text: actors.FailureText(*f), Reason: actors.FailureReason(*f)}
		}
	}
	if s == nil || isHeard(s.input) || a.standsBy() {
		return check{State: checkOK, Text: a.standbyText()}
	}
	if a.diskFailed() {
		return check{State: checkDegraded, Text: "it cannot be heard while the store takes no writes: its heartbeats are not stored"}
	}
	if at := a.heardAt.Load(); at != nil && time.Since(*at) <= replacedWithin {
		return check{State: checkDegraded, Text: a.unheard(s.input) + "; it or its successor is heard within seconds as a rule, and what was asked for is carried out then"}
	}
	return check{State: checkFailed, Text: a.unheard(s.input)}
}

// replacedWithin is how long no agent may be heard after one was before specs count as not
// carried out. One that is stopped is replaced after 10 s, and a job takes 6 s, on a busy head
// 20; what lasts for a known cause is told as a failure, and fails at once.
const replacedWithin = time.Minute

// unheard says why it is not known what runs.
func (a *App) unheard(in actors.Input) string {
	switch agent := in.Observed.Agent; {
	case agent == nil:
	case agent.Silence(time.Now()) > in.Policy.AgentTimeout:
		return fmt.Sprintf("incarnation %d has been silent for %s, so nothing is started or healed; what runs goes on",
			agent.Incarnation, agent.Silence(time.Now()).Round(time.Second))
	case !agent.Synced:
		return fmt.Sprintf("incarnation %d reads what runs, and nothing is started or healed until it has told", agent.Incarnation)
	}
	if sup := a.supervisor.Load(); sup != nil {
		if st := sup.State(); st.Message != "" {
			return st.Message
		}
	}
	return "not connected yet"
}

func checkRay(a *App, _ *snapshot) check {
	if n := a.rayNotice(); n != nil {
		return check{State: checkDegraded, Text: n.String(), Reason: n.Reason}
	}
	return check{State: checkOK}
}

// slowRound is the age of the last round from which on something holds rounds up.
const slowRound = 5 * time.Second

func checkRound(a *App, _ *snapshot) check {
	if at := a.roundAt.Load(); at != nil {
		if age := time.Since(*at); age > slowRound {
			return check{State: checkDegraded, Text: fmt.Sprintf("the last one ended %s ago; nothing is decided until the next one ends", age.Round(100*time.Millisecond))}
		}
	}
	return check{State: checkOK}
}

func checkLease(a *App, _ *snapshot) check {
	seen := a.setAside.seen()
	if seen.leaseAt.IsZero() || time.Since(seen.leaseAt) > foreignLeaseFor {
		return check{State: checkOK}
	}
	return check{State: checkDegraded, Text: "foreign lease holder: somebody who is no reconciler writes over the lease (" + seen.lease.String() +
		"); find out who may write to " + kv.BucketLease}
}

// shownValues is how many names a line holds.
const shownValues = 10

func checkValues(a *App, _ *snapshot) check {
	values := a.setAside.seen().values
	if len(values) == 0 {
		return check{State: checkOK}
	}
	names := make([]string, len(values))
	for i, u := range values {
		names[i] = u.String()
	}
	return check{State: checkDegraded, Text: fmt.Sprintf("%d cannot be read and are set aside: %s", len(values), someOf(names, "; "))}
}

func checkTokens(a *App, _ *snapshot) check {
	if wrong := a.doors.tokens.Wrong(); wrong != "" {
		return check{State: checkDegraded, Text: "the file does not count, and the last tokens that could be read do: " + wrong}
	}
	return check{State: checkOK}
}

func checkCertificate(a *App, _ *snapshot) check {
	if text := a.doors.cert.Trouble(time.Now()); text != "" {
		return check{State: checkDegraded, Text: text}
	}
	return check{State: checkOK}
}

func checkSpecsMissing(_ *App, s *snapshot) check {
	if s == nil {
		return check{State: checkOK}
	}
	var names []string
	for _, st := range s.result.Statuses {
		if c, _ := st.Condition(state.CondUpToDate); c.Reason == actors.CondSpecMissing {
			names = append(names, st.Key)
		}
	}
	if len(names) == 0 {
		return check{State: checkOK}
	}
	return check{State: checkDegraded, Text: fmt.Sprintf(
		"%d run as accepted though the spec bucket holds no spec of them: %s; set them again, or delete them with dynctl", len(names), someOf(names, ", "))}
}

func someOf(names []string, separator string) string {
	if len(names) <= shownValues {
		return strings.Join(names, separator)
	}
	return strings.Join(names[:shownValues], separator) + fmt.Sprintf(" and %d more", len(names)-shownValues)
}

// lines are the checks that are in a state, as "name: text".
func lines(checks []check, in string) []string {
	var out []string
	for _, c := range checks {
		if c.State == in {
			out = append(out, c.Name+": "+c.Text)
		}
	}
	return out
}

// readyz answers 200 when specs would be carried out, else 503 with one line for
// each thing that is missing. What is degraded is said beside "degraded", with 200.
// With ?verbose it lists every check as JSON.
func (a *App) readyz(w http.ResponseWriter, r *http.Request) {
	checks := a.checks()
	state := worst(checks)
	if r.URL.Query().Has("verbose") {
		w.Header().Set("Content-Type", "application/json")
	}
	if state == checkFailed {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	switch {
	case r.URL.Query().Has("verbose"):
		// The reader is gone where this fails.
		_ = json.NewEncoder(w).Encode(kv.Checks{State: state, Checks: checks})
	case state == checkFailed:
		fmt.Fprintln(w, strings.Join(lines(checks, checkFailed), "\n"))
	case state == checkDegraded:
		fmt.Fprintln(w, "degraded\n"+strings.Join(lines(checks, checkDegraded), "\n"))
	default:
		fmt.Fprintln(w, "ok")
	}
}

// missing is what keeps specs from being carried out, degraded what somebody should
// look at, one line each.
func (a *App) missing() []string  { return lines(a.checks(), checkFailed) }
func (a *App) degraded() []string { return lines(a.checks(), checkDegraded) }
