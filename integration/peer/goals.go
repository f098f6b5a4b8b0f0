package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
)

// goals are the rows, in the order of the table.
func (r record) goals() []goal {
	return slices.Concat(changeGoals(), fleetGoals(), []goal{r.agentGoal()}, rayGoals())
}

// changeGoals are of one change beside a fleet, on a simulated Ray.
func changeGoals() (out []goal) {
	for _, x := range []struct{ says, what, floor string }{
		{"spec put to its start command, beside 1,000 models", "put-start", "floor-put"},
		{"exit to the next start command, beside 1,000 models", "exit-start", "floor-exit"},
	} {
		for _, p := range []struct {
			name string
			most float64
		}{{"p50", 2}, {"p99", 10}} {
			at := "-" + p.name + "-ms"
			floor := fleetOf(x.floor+at, "1000")
			out = append(out, goal{
				says: x.says + ", " + p.name, figure: fleetOf(x.what+at, "1000"), unit: inFineMs, floor: floor, most: p.most,
				why: func(r record) string {
					return fmt.Sprintf("the store's own writes are %s of it, and beside 1 model it is %s", r.tell(inFineMs, floor), r.tell(inFineMs, fleetOf(x.what+at, "1")))
				},
			})
		}
	}
	return out
}

// tell is the median of a figure in words.
func (r record) tell(in unit, f figure) string { return in.write(median(r.of(f))) }

// fleetGoals are of whole fleets, on a simulated Ray.
func fleetGoals() []goal {
	return []goal{
		{
			says: "1,000 new specs at once, until the last start command", figure: fleetOf("all-started-s", "1000"), unit: asSeconds,
			floor: fleetOf("floor-all-started-s", "1000"), most: 0.5,
			why: func(r record) string {
				return fmt.Sprintf("to store the specs alone, each synced, takes %s; all of it takes %s of CPU, with the simulation",
					r.tell(asSeconds, fleetOf("floor-put-all-s", "1000")), r.tell(asSeconds, fleetOf("all-started-cpu-s", "1000")))
			},
		},
		{says: "10,000 new specs at once, until the last start command", figure: fleetOf("all-started-s", "10000"), unit: asSeconds},
		{
			says: "nothing to do beside 1,000 models: CPU of one core", figure: fleetOf("idle-cpu-%", "1000"), unit: inPercent, most: 1,
			why: func(r record) string {
				return fmt.Sprintf("lease, heartbeats and their store take what it takes beside 1 model, %s, and the simulation has its part: beside 10,000 models %s",
					r.tell(inPercent, fleetOf("idle-cpu-%", "1")), r.tell(inPercent, fleetOf("floor-idle-cpu-%", "10000")))
			},
		},
		{
			says: "the same beside 10,000 (floor: without the reconciler)", figure: fleetOf("idle-cpu-%", "10000"), unit: inPercent,
			floor: fleetOf("floor-idle-cpu-%", "10000"),
		},
		{
			says: "full plan of 10,000 actors", figure: fleetOf("plan-ms", "10000"), unit: inMs, most: 25,
			why: func(r record) string {
				return "each model is judged anew, and its status is made; with what is remembered of the plan before it takes " +
					r.tell(inFineMs, fleetOf("plan-again-ms", "10000"))
			},
		},
		{says: "memory that the reconciler holds then", figure: fleetOf("own-heap-MB", "10000"), unit: inMB, most: 300},
		{
			says: "cold start beside 10,000 running", figure: fleetOf("cold-start-s", "10000"), unit: asSeconds, most: 2,
			why: func(r record) string {
				return r.tell(asSeconds, fleetOf("cold-start-cpu-s", "10000")) + " of CPU, most of it to read and decode"
			},
		},
		{says: "the same: commands that it sends", figure: fleetOf("cold-commands", "10000"), unit: counted, most: 0.5, wanted: "0"},
		{
			says: "acceptance of the 10,001st model", figure: fleetOf(acceptance, "10000"), unit: inFineMs, most: 0.1,
			why: func(r record) string {
				return "the list of all models is handed out anew, a pointer to each; of the 1,001st it takes " + r.tell(inFineMs, fleetOf(acceptance, "1000"))
			},
		},
	}
}

// actorsWanted is beside how many actors the agent is to cost as little as its goal says.
const actorsWanted = 200

// agentGoal is of the agent beside the most actors that it was measured with.
func (r record) agentGoal() goal {
	few, many := "", ""
	for actors := range r.Parts[partAgent].Figures[agentCPU] {
		if few == "" || number(actors) < number(few) {
			few = actors
		}
		if many == "" || number(actors) > number(many) {
			many = actors
		}
	}
	at := func(actors string) figure { return figure{partAgent, agentCPU, actors} }
	g := goal{
		says:   "the agent with " + cmp.Or(many, strconv.Itoa(actorsWanted)) + " actors at rest: CPU of one core",
		figure: at(many), unit: inPercent, most: 2, wanted: fmt.Sprintf("2 %% with %d", actorsWanted),
	}
	if number(many) >= actorsWanted || few == many {
		return g
	}
	g.judge = func(r record) string {
		each := max(0, median(r.of(at(many)))-median(r.of(at(few)))) / (number(many) - number(few))
		return fmt.Sprintf("not measured with %d; with %s it is %s: if it goes on so, %s with %d", actorsWanted, few, r.tell(inPercent, at(few)),
			inPercent.write(median(r.of(at(many)))+each*(actorsWanted-number(many))), actorsWanted)
	}
	return g
}

// rayGoals are of what begins, heals and ends on a real Ray.
func rayGoals() (out []goal) {
	for _, x := range []struct {
		what, says      string
		ofFloor, ofPeer float64
	}{
		{"start-1", "from nothing to the first token, 1 model", 1.15, 0.5},
		{"start-4", "the same, 4 models", 1.15, 0.5},
		{"start-1P1D", "the same, 1 prefill + 1 decode", 1.15, 0.5},
		{"put", "put to the first token on a running server", 1.1, 0},
	} {
		out = append(out, goal{
			says: x.says, figure: rayOf(x.what, "ours"), unit: inSeconds, floor: rayOf(x.what, "floor"), peer: rayOf(x.what, "peer"),
			mostOfFloor: x.ofFloor, mostOfPeer: x.ofPeer, why: rayIsSlow,
		})
	}
	out = append(out,
		goal{
			says: "roll of 2 replicas, no request failed", figure: rayOf("roll", "ours"), unit: inSeconds, most: 2500,
			why: func(r record) string {
				one := rayOf("put", "floor")
				return fmt.Sprintf("within maxSurge: 1 two replicas start one after the other, each of them %s at the floor; the last old worker then takes 2 s to drain",
					r.tell(inSeconds, one))
			},
		},
		goal{
			says: "agent killed: successor at work, beside a standby", figure: figure{partKill, "agent-standby", "ours"}, unit: inSeconds,
			most: 1000, wanted: "1 s; 3 s under load",
		},
		goal{says: "the same without a standby", figure: rayOf("agent", "ours"), unit: inSeconds},
	)
	for _, plane := range planes {
		of := func(what string) figure { return figure{partKill, what, plane} }
		out = append(out,
			goal{says: "a worker of two killed, requests by " + plane + ": longest time without an answer", figure: of("kill-silence"), unit: inMs, floor: of("silence-before")},
			goal{says: "the same: slowest request", figure: of("kill-slowest"), unit: inMs},
			goal{says: "the same: requests that failed", figure: of("kill-failed-count"), unit: counted},
		)
	}
	return out
}

// rayIsSlow is why a start is no quicker.
func rayIsSlow(r record) string {
	return fmt.Sprintf("most of it is Ray's worker processes, and who finds idle ones is quicker: an actor takes %s in a new one and %s in an idle one",
		r.tell(inSeconds, rayOf("actor-new", "floor")), r.tell(inSeconds, rayOf("actor-idle", "floor")))
}
