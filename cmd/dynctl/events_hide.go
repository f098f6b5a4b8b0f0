package main

import (
	"encoding/json"

	"dynctl/events"
	"dynctl/state"
)

// hideCommand is an event without the secrets that its command may hold: those of older
// versions have the literal values of variables in them.
func hideCommand(e events.Event) events.Event {
	if len(e.Data.Command) == 0 {
		return e
	}
	var command any
	if json.Unmarshal(e.Data.Command, &command) != nil {
		return e
	}
	if !hideValues(command) {
		return e
	}
	if raw, err := json.Marshal(command); err == nil {
		e.Data.Command = raw
	}
	return e
}

// hideValues hides the values of variables anywhere below v, in place, and what URLs
// hold; it reports whether there were any.
func hideValues(v any) (hidden bool) {
	switch x := v.(type) {
	case []any:
		for i, item := range x {
			hidden = hideIn(item, func(s string) { x[i] = s }, state.HideSecrets) || hidden
		}
	case map[string]any:
		_, variable := x["name"]
		for key, item := range x {
			hide := state.HideSecrets
			if variable && key == "value" {
				hide = state.HideValue
			}
			hidden = hideIn(item, func(s string) { x[key] = s }, hide) || hidden
		}
		if vars, ok := x["env_vars"].(map[string]any); ok {
			for name, item := range vars {
				hidden = hideIn(item, func(s string) { vars[name] = s }, state.HideValue) || hidden
			}
		}
	}
	return hidden
}

func hideIn(item any, set func(string), hide func(string) string) bool {
	text, ok := item.(string)
	if !ok {
		return hideValues(item)
	}
	if hide(text) == text {
		return false
	}
	set(hide(text))
	return true
}
