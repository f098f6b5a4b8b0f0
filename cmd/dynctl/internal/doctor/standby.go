package doctor

import (
	"time"

	"dynctl/cmd/dynctl/internal/prose"
	"dynctl/state"
)

// standbyTime is what a standby takes to be there on a machine that is busy.
const standbyTime = 2 * time.Minute

// standby tells of the agent that is to wait beside the one in charge.
func (d *Doctor) standby(b state.StandbyAgent) {
	since := prose.Age(d.storeNow(), b.Since)
	if b.State == state.StandbyReady {
		how := "is told of its end"
		if b.Watches {
			how = "sees it end"
		}
		d.found(CheckAgent, OK, "", "another one stands by for %s and %s: job %s, process %d at %s, %d MiB", since, how, b.Job, b.PID, prose.OrDash(b.NodeIP), b.Memory>>20)
		return
	}
	text := "none stands by for " + since + ", so a successor would take seconds longer"
	if b.Job != "" {
		text += "; job " + b.Job + " starts"
	}
	result := OK
	if b.Why != "" {
		result, text = Warn, text+". The last one was given up: "+b.Why
	}
	if d.storeNow().Sub(b.Since) > standbyTime {
		result = Warn
	}
	d.found(CheckAgent, result, "another one is started by itself; see the jobs in Ray's dashboard, and the log of the reconciler that leads", "%s", text)
}
