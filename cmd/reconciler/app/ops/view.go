package ops

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"dynctl/actors"
	"dynctl/cmd/internal/verdict"
	"dynctl/state"
)

// view is an input as the templates show it.
type view struct {
	Input
	Summary summary
	Servers []serverCard
	Nodes   []nodeCard
	Units   []unitRow
}

// summary is the strip at the top.
type summary struct {
	Models, Serving     int
	Trouble             []string // models that are neither serving nor on their way
	Away                []awayModel
	GPUs, Held, Foreign int
	AgentLook, Agent    string
}

// awayModel is one that is wanted and does not serve, with the way to why.
type awayModel struct {
	Name, Word, Look, ID string
}

type serverCard struct {
	object
	Models []modelCard
}

type modelCard struct {
	object
	Spec  Spec
	Roles []roleRow
}

// object is what servers and models have in common.
type object struct {
	Status  state.Status
	ID      string // for the page
	Name    string
	Verdict verdict.Verdict
	// Shown is its word, Meanwhile what is known where not all is.
	Shown, Meanwhile string
	Look             string
	Router           string
	Steps            []step
	Meaning          string
	// Warnings are what its spec says and what does not do what it seems to.
	Warnings []string
	// Why is the heading of the details.
	Why      string
	Exits    []exit
	Logs     []logLink
	Commands []string
}

// step is one condition of the chain.
type step struct {
	state.Condition
	Look string
	// Blocks: it is the first that is not True, and explains those after it.
	Blocks bool
	// Follows names the condition that it says the same as.
	Follows string
}

type roleRow struct {
	Name string
	state.RoleStatus
}

// Count is how many are ready, of how many.
func (r roleRow) Count() string { return verdict.Count(r.RoleStatus) }

type exit struct {
	Role string
	state.ExitStatus
	Meaning string
	Log     *logLink // nil where the actor is gone
}

func newView(in Input) view {
	v := view{Input: in}
	byServer := map[string]int{}
	for _, s := range in.Statuses {
		if s.Kind == state.KindServer {
			byServer[s.Server] = len(v.Servers)
			v.Servers = append(v.Servers, serverCard{object: newObject(*s, in)})
		}
	}
	for _, s := range in.Statuses {
		if s.Kind != state.KindModel {
			continue
		}
		i, ok := byServer[s.Server]
		if !ok {
			i = len(v.Servers)
			byServer[s.Server] = i
			unseen := object{Name: s.Server, ID: "server." + s.Server, Look: lookNone, Shown: verdict.Unknown, Verdict: verdict.Verdict{Word: verdict.Unknown}}
			v.Servers = append(v.Servers, serverCard{object: unseen})
		}
		m := modelCard{object: newObject(*s, in), Spec: in.Specs[s.Key]}
		for _, name := range slices.Sorted(maps.Keys(s.Roles)) {
			m.Roles = append(m.Roles, roleRow{name, s.Roles[name]})
		}
		v.Servers[i].Models = append(v.Servers[i].Models, m)
	}
	slices.SortStableFunc(v.Servers, func(a, b serverCard) int { return cmp.Compare(a.Name, b.Name) })
	v.Nodes, v.Units = newCluster(in)
	v.Summary = newSummary(v)
	return v
}

func newObject(s state.Status, in Input) object {
	o := object{Status: s, ID: s.Key, Name: s.Name, Verdict: verdict.Judge(&s, in.Now), Router: routing(s.Router)}
	if s.Kind == state.KindServer {
		o.Name = s.Server
	}
	o.Look, o.Shown, o.Meanwhile = lookOf(wordLooks, o.Verdict.Word, lookNone), o.Verdict.Shown(), o.Verdict.Meanwhile()
	o.Steps = steps(&s, o)
	o.Warnings = verdict.Warnings(&s)
	if b := o.Verdict.Blocking; b != nil {
		o.Meaning = actors.ReasonText(b.Reason)
	}
	o.Why = why(o)
	for _, role := range slices.Sorted(maps.Keys(s.Roles)) {
		if e := s.Roles[role].LastExit; e != nil {
			o.Exits = append(o.Exits, exit{role, *e, actors.ReasonText(e.Reason), logOfExit(in, s.Server, *e)})
		}
	}
	o.Logs = logsOf(in, s)
	o.Commands = commands(&s, o.Verdict)
	return o
}

// why is the question that the details answer.
func why(o object) string {
	switch {
	case o.Verdict.Word == verdict.Suspended, o.Verdict.Word == verdict.Zero:
		return "Why it does not run"
	case o.Verdict.Blocking == nil:
		return "Conditions and commands"
	case o.Verdict.Word == verdict.Serving:
		return "What is going on"
	case o.Meanwhile != "":
		return "Why it is not known how much of it is ready"
	case o.Verdict.Word == verdict.Degraded, o.Verdict.Word == verdict.Stale:
		return "Why not all of it is ready"
	}
	return "Why it is not ready"
}

// steps are the conditions in the order in which one explains the next.
func steps(s *state.Status, o object) []step {
	var out []step
	for _, typ := range verdict.Order {
		c, ok := s.Condition(typ)
		if !ok {
			continue
		}
		st := step{Condition: c, Look: lookNone}
		b := o.Verdict.Blocking
		switch {
		case c.Status == state.StatusTrue:
			st.Look = lookOK
		case b != nil && b.Type == typ:
			st.Blocks = true
			st.Look = o.Look
			if o.Look == lookOK {
				st.Look = lookBusy // it serves; a rollout is under way
			}
		case b != nil && b.Reason == c.Reason && b.Message == c.Message:
			st.Follows = b.Type
		}
		out = append(out, st)
	}
	return out
}

// routing is a router decision in words.
func routing(r *state.RouterStatus) string {
	switch {
	case r == nil:
		return "not resolved yet"
	case r.Mode == "":
		return "round-robin, Dynamo's own"
	case r.KVEvents:
		return r.Mode + " with KV events"
	}
	return r.Mode
}

// commands are those that a person would type next, the likeliest first.
func commands(s *state.Status, v verdict.Verdict) []string {
	ref := verdict.Ref(s)
	on := ""
	if s.Kind == state.KindModel && s.Server != state.DefaultServer {
		on = " --server " + s.Server
	}
	out := []string{"dynctl status " + ref + on, "dynctl logs " + ref + on}
	if s.Kind == state.KindServer {
		return append(out, "dynctl router "+s.Server, "dynctl history "+ref)
	}
	out = append(out, "dynctl events --model "+s.Name+on, "dynctl history "+ref+on)
	reason := ""
	if v.Blocking != nil {
		reason = v.Blocking.Reason
	}
	switch {
	case v.Word == verdict.Suspended:
		out = append([]string{"dynctl resume " + ref + on}, out...)
	case v.Word == verdict.Zero:
		out = append([]string{"dynctl scale " + ref + on + " --replicas 1"}, out...)
	case reason == "DeletionHeld":
		out = append([]string{"dynctl confirm-deletions " + s.Server}, out...)
	case reason == "RolloutStalled", reason == "RolledBack", v.Word == verdict.Failing, v.Word == verdict.Stale:
		out = append(out, "dynctl rollback "+ref+on)
	case v.Word == verdict.Serving:
		out = append(out, "dynctl restart "+ref+on)
	}
	return out
}

// agentSummary is how the agent does, as a look and in a few words.
func agentSummary(v view) (look, text string) {
	switch {
	case v.AgentFailure != nil && v.AgentFailure.Up && v.Observed:
		return lookWarn, "connected, ends again and again"
	case v.AgentFailure != nil:
		return lookBad, "failing"
	case v.Agent == nil:
		return lookBusy, "not there yet"
	case !v.Observed:
		return lookBad, "silent"
	case v.StandsBy:
		return lookOK, "connected, one stands by"
	}
	return lookOK, "connected"
}

func newSummary(v view) summary {
	var s summary
	s.AgentLook, s.Agent = agentSummary(v)
	for _, server := range v.Servers {
		for _, m := range server.Models {
			s.Models++
			name := m.Name
			if len(v.Servers) > 1 {
				name = server.Name + "/" + name
			}
			switch m.Look {
			case lookOK:
				s.Serving++
				continue
			case lookBad, lookWarn:
				s.Trouble = append(s.Trouble, fmt.Sprintf("%s is %s", name, m.Shown))
			}
			if m.Look != lookOff {
				s.Away = append(s.Away, awayModel{name, m.Shown, m.Look, m.ID})
			}
		}
	}
	for _, n := range v.Nodes {
		if n.Alive {
			s.GPUs += n.GPUs
			s.Held += n.Held
			s.Foreign += n.Foreign
		}
	}
	return s
}

// Title is the title of the document: what is wrong comes first.
func (v view) Title() string {
	if len(v.Summary.Trouble) > 0 {
		return strings.Join(v.Summary.Trouble, ", ") + " - dynctl"
	}
	return "dynctl"
}
