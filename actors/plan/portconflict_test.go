package plan_test

import (
	"strings"
	"testing"
	"time"

	"dynctl/actors"
	"dynctl/state"
)

// portHeld ends the frontend's attempts, as they come, because another program has its port,
// for some seconds, and returns when each was asked for.
func portHeld(w *cluster, u *state.Unit, seconds int) (asked []time.Duration) {
	began, last := w.now, 0
	for range seconds {
		for i := range u.Actors {
			a := &u.Actors[i]
			if !strings.HasSuffix(a.Name, actors.LabelFrontend) {
				continue
			}
			if a.Attempt > last && last > 0 {
				asked = append(asked, w.now.Sub(began))
			}
			if last = a.Attempt; a.State != state.UnitExited {
				w.exit(u, a, 127)
				a.Exit.Reason = actors.WaitPortConflict
			}
		}
		w.run(1)
	}
	return asked
}

// A port that another program holds is tried again soon at first, and then once a minute:
// not for ever every few seconds.
func TestAPortThatIsHeldIsTriedEverMoreSeldom(t *testing.T) {
	w := newCluster(node("1", 8))
	w.put(model("a", ""))
	w.run(8)
	u := w.units[state.UnitKey{Server: "default", Unit: actors.InfraUnit}]
	asked := portHeld(w, u, 600)
	if len(asked) < 6 || asked[4] > 15*time.Second {
		t.Fatalf("asked for at %v, want five attempts within 15 s", asked)
	}
	last := asked[len(asked)-3:]
	for i := 1; i < len(last); i++ {
		if apart := last[i] - last[i-1]; apart < 45*time.Second || apart > 65*time.Second {
			t.Errorf("the last attempts are %s apart, want about a minute: %v", apart, asked)
		}
	}
}

// What waits for a port that is held does not wait any more once another one is declared.
func TestAFrontendThatWaitsForItsPort(t *testing.T) {
	server := func(port string) string {
		return "apiVersion: dynctl/v1alpha1\nkind: Server\nmetadata: {name: default}\nspec: {frontend: {port: " + port + "}}\n"
	}
	w := newCluster(node("1", 8))
	w.put(server("8000"))
	w.put(model("a", ""))
	w.run(8)
	u := w.units[state.UnitKey{Server: "default", Unit: actors.InfraUnit}]
	portHeld(w, u, 300)
	w.put(server("8001"))
	w.run(3)
	if u.State != state.UnitRunning {
		t.Errorf("infra is %s 3 s after another port was declared", u.State)
	}
}
