package router

import (
	"fmt"
	"slices"
	"strings"

	"dynctl/state"
)

// Sources of a decision.
const (
	SourceAuto   = "auto"   // resolved from the set of models
	SourceServer = "server" // the server's spec says so
	SourceModel  = "model"  // the model's own spec says so
)

// Model is a model with its spec, defaults filled in.
type Model struct {
	Name string
	Spec state.ModelSpec
}

// Decision is a routing and why it was chosen.
type Decision struct {
	// Mode is a router mode in Dynamo's spelling. Empty means no flag: the
	// frontend's own mode, which is round-robin unless it has one.
	Mode     string
	KVEvents bool
	Source   string
	// Because is one sentence, naming the models that caused it.
	Because string
	// Models are the names of those models, sorted.
	Models []string
}

// Resolve is the server-wide answer: the server's mode, or where that is auto kv if
// any model is disaggregated, else none. An automatic kv has the KV events that the
// server asks for; where it does not say it has them, unless a prefill worker runs
// the hybrid KV cache manager. What is asked for explicitly stays, for [Check] to
// reject the model.
func Resolve(r state.ServerRouter, models []Model) Decision {
	if mode := serverMode(r); mode != "" {
		return serverDecision(r, mode)
	}
	var disagg, hybrid []string
	for _, m := range models {
		if m.Spec.Mode != state.ModeDisagg {
			continue
		}
		disagg = append(disagg, m.Name)
		if m.Spec.HybridKVCache(state.RolePrefill) {
			hybrid = append(hybrid, m.Name)
		}
	}
	slices.Sort(disagg)
	slices.Sort(hybrid)
	if len(disagg) == 0 {
		return Decision{
			Source:  SourceAuto,
			Because: "No model is disaggregated, so Dynamo's own round-robin is left as it is.",
		}
	}
	d := Decision{
		Mode:     state.RouterKV,
		KVEvents: len(hybrid) == 0,
		Source:   SourceAuto,
		Because:  autoSentence(disagg, hybrid),
		Models:   disagg,
	}
	if r.KVEvents.Explicit() {
		d.KVEvents = r.KVEvents == state.True
		d.Because = saidSentence(disagg, d.KVEvents)
	}
	return d
}

// Bears reports whether a model may bear on the routing of its server, or be warned of
// there: most of a large fleet follow the frontend and say nothing, so [Resolve],
// [ForFrontend] and the warnings answer the same without them.
func Bears(m *state.ModelSpec) bool {
	mode := state.NormalizeRouterMode(m.Router.Mode)
	return m.Mode == state.ModeDisagg || mode != "" && mode != state.RouterInherit || m.Router.KVEvents.Explicit()
}

// ForFrontend is the routing that the frontend's command line carries: an
// explicit mode; under auto the resolved answer where the server applies it to
// the frontend, and none where each model carries its own.
func ForFrontend(r state.ServerRouter, models []Model) Decision {
	if serverMode(r) != "" || r.Apply == state.ApplyFrontend {
		return Resolve(r, models)
	}
	return Decision{
		Source:  SourceAuto,
		Because: "Each disaggregated model carries its routing in its own model card, so the frontend needs none.",
	}
}

// ForModel is the routing that a model's own workers carry in their model card;
// its mode is empty where they carry none. The second result is that of [Check].
func ForModel(r state.ServerRouter, m Model) (Decision, *state.Invalid) {
	if invalid := Check(r, m); invalid != nil {
		return Decision{}, invalid
	}
	w := wantedOf(r, m)
	switch {
	case w.source == SourceModel:
		return Decision{
			Mode:     w.mode,
			KVEvents: w.events,
			Source:   SourceModel,
			Because:  fmt.Sprintf("The spec of %s says %s.", m.Name, modeText(w.mode, w.events)),
			Models:   []string{m.Name},
		}, nil
	case w.source == SourceServer:
		return Decision{
			Source:  SourceServer,
			Because: fmt.Sprintf("The server's spec says %s, which its frontend carries.", modeText(w.mode, w.events)),
		}, nil
	case m.Spec.Mode != state.ModeDisagg:
		return Decision{
			Source:  SourceAuto,
			Because: fmt.Sprintf("%s is aggregated, so its workers follow the frontend.", m.Name),
		}, nil
	case r.Apply == state.ApplyFrontend:
		return Decision{
			Source:  SourceAuto,
			Because: "The server applies the resolved routing to its frontend.",
		}, nil
	}
	return Resolve(r, []Model{m}), nil
}

// Publishes reports whether a worker of a role publishes KV events: a prefill worker
// always, a decode worker never, an aggregated one if its own spec or the server's
// explicit mode says kv with events. None does with the hybrid KV cache manager,
// and then it is not told about KV events at all.
func Publishes(r state.ServerRouter, m Model, role string) bool {
	if role == state.RoleDecode || m.Spec.HybridKVCache(role) {
		return false
	}
	return role == state.RolePrefill || wantedOf(r, m).events
}

// serverMode is the server's explicit mode; empty under auto.
func serverMode(r state.ServerRouter) string {
	mode := state.NormalizeRouterMode(r.Mode)
	if mode == state.RouterAuto {
		return ""
	}
	return mode
}

func serverDecision(r state.ServerRouter, mode string) Decision {
	events := mode == state.RouterKV && r.KVEvents == state.True
	return Decision{
		Mode:     mode,
		KVEvents: events,
		Source:   SourceServer,
		Because:  fmt.Sprintf("The server's spec says %s.", modeText(mode, events)),
	}
}

func modeText(mode string, events bool) string {
	switch {
	case mode == "":
		return "the frontend's own"
	case events:
		return mode + " with KV events"
	case mode == state.RouterKV:
		return mode + " without KV events"
	}
	return mode
}

func autoSentence(disagg, hybrid []string) string {
	s := fmt.Sprintf("%s %s disaggregated, so requests are routed by KV cache", list(disagg), isAre(disagg))
	if len(hybrid) == 0 {
		return s + ", with KV events."
	}
	runs := "runs"
	if len(hybrid) > 1 {
		runs = "run"
	}
	return fmt.Sprintf("%s, without KV events because %s %s the hybrid KV cache manager.", s, list(hybrid), runs)
}

// saidSentence is why an automatic kv has KV events, or has none, where the server
// says so.
func saidSentence(disagg []string, events bool) string {
	return fmt.Sprintf("%s %s disaggregated, so requests are routed by KV cache, and the server's spec says kvEvents: %t.",
		list(disagg), isAre(disagg), events)
}

func isAre(names []string) string {
	if len(names) == 1 {
		return "is"
	}
	return "are"
}

// maxNamed is how many models a sentence names before it only counts the rest.
const maxNamed = 5

func list(names []string) string {
	if n := len(names); n > maxNamed {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxNamed], ", "), n-maxNamed)
	}
	if len(names) == 1 {
		return names[0]
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}
