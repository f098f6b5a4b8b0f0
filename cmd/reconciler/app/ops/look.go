package ops

import (
	"html/template"
	"strings"
	"time"

	"dynctl/cmd/internal/verdict"
	"dynctl/events"
	"dynctl/state"
)

// Looks: each has a shape of its own, so that nothing is told by colour alone.
const (
	lookOK   = "ok"   // a check mark
	lookBusy = "busy" // a half-filled circle
	lookWarn = "warn" // a triangle
	lookBad  = "bad"  // an octagon
	lookOff  = "off"  // a pause sign
	lookNone = "none" // a hollow circle
	lookNote = "note" // a dot
)

var wordLooks = map[string]string{
	verdict.Serving: lookOK, verdict.Degraded: lookWarn, verdict.Stale: lookWarn,
	verdict.Suspended: lookOff, verdict.Rejected: lookBad, verdict.Waiting: lookBusy,
	verdict.Failing: lookBad, verdict.Starting: lookBusy, verdict.Unknown: lookNone,
	verdict.Deleting: lookOff, verdict.Zero: lookOff,
}

var unitLooks = map[string]string{
	"Ready": lookOK, string(state.UnitRunning): lookBusy, string(state.UnitPending): lookBusy,
	string(state.UnitPlacing): lookBusy, string(state.UnitWaiting): lookBusy, string(state.UnitStarting): lookBusy,
	string(state.UnitExited): lookBad, string(state.ActorDead): lookBad, string(state.UnitStopping): lookOff,
}

// eventLooks are those of facts; the types with lookBad or lookWarn are trouble.
var eventLooks = map[string]string{
	events.TypeSpecRejected: lookBad, events.TypePlacementFailed: lookBad, events.TypeUnitExited: lookBad,
	events.TypeUnitBackoff: lookWarn, events.TypeOrphanFound: lookWarn, events.TypeRolloutStalled: lookBad,
	events.TypeLeaderLost: lookWarn, events.TypeAgentLost: lookBad, events.TypeDeletionBlocked: lookWarn, events.TypeValueUnreadable: lookWarn,
	events.TypeSpecAccepted: lookOK, events.TypeUnitReady: lookOK, events.TypeRolloutCompleted: lookOK,
	events.TypeLeaderElected: lookOK, events.TypeAgentConnected: lookOK, events.TypePlacementCreated: lookOK,
}

func lookOf(looks map[string]string, key, otherwise string) string {
	if l, ok := looks[key]; ok {
		return l
	}
	return otherwise
}

// isTrouble reports whether somebody may have to look at an event of this type.
func isTrouble(typ string) bool {
	l := eventLooks[typ]
	return l == lookBad || l == lookWarn
}

// functions are what the templates may call.
var functions = template.FuncMap{
	"icon":   icon,
	"when":   when,
	"plural": state.Counted,
	"code":   code,
	"join":   strings.Join,
	// sections are the ids of the parts, in their order.
	"sections": func() []string { return sections },
}

// icon is a shape of the page's sprite, one of the looks above. The text beside it
// says the same.
func icon(look string) template.HTML {
	return template.HTML(`<svg class="icon ` + look + `" aria-hidden="true" focusable="false"><use href="#i-` + look + `"/></svg>`)
}

// when is a moment for people and machines, made of digits and the names of months
// alone. It is absolute, so that HTML which says the same is the same; the script
// adds how long ago it was.
func when(t time.Time) template.HTML {
	if t.IsZero() {
		return ""
	}
	t = t.UTC()
	return template.HTML(`<time datetime="` + t.Format(time.RFC3339) + `" title="` + t.Format("2006-01-02 15:04:05.000 MST") + `">` + t.Format("2 Jan 15:04:05") + `</time>`)
}

// code sets what stands between backquotes as code.
func code(s string) template.HTML {
	parts := strings.Split(s, "`")
	var b strings.Builder
	for i, part := range parts {
		text := template.HTMLEscapeString(part)
		switch {
		case i%2 == 0:
			b.WriteString(text)
		case i == len(parts)-1:
			b.WriteString("`" + text)
		default:
			b.WriteString("<code>" + text + "</code>")
		}
	}
	return template.HTML(b.String())
}
