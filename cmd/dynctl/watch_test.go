package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
	"github.com/google/go-cmp/cmp"

	"dynctl/events"
	"dynctl/state"
)

var watchNow = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// fleet is an overview of so many models, every third of which fails.
func fleet(models int) *overview {
	v := &overview{now: watchNow, agent: &state.Agent{Incarnation: 1, Synced: true, At: watchNow}}
	v.nodes = []state.Node{{ID: "n0", GPUs: 8, Alive: true}}
	for i := range models {
		s := &state.Status{Kind: state.KindModel, Server: "default", Name: fmt.Sprintf("model-%02d", i), AcceptedRevision: 1,
			Roles: map[string]state.RoleStatus{"aggregated": {Desired: 1, Ready: 1}}}
		for _, typ := range []string{state.CondAccepted, state.CondReady, state.CondAvailable} {
			c := state.Condition{Type: typ, Status: state.StatusTrue, Reason: "OK", LastTransitionTime: watchNow.Add(-time.Hour)}
			if i%3 == 2 && typ != state.CondAccepted {
				c.Status, c.Reason, c.Message = state.StatusFalse, "CrashLoopBackOff", "0 of 1 worker is ready: unit 1a2b3c4d_model_DP0 exited"
			}
			s.Conditions = append(s.Conditions, c)
		}
		v.models = append(v.models, objectInfo{Name: s.Name, Server: "default", Status: s})
	}
	return v
}

func occurrence(i int) events.Event {
	return events.Event{Type: events.TypeUnitExited, Object: fmt.Sprintf("1a2b3c4d_model_DP%d", i), Time: watchNow.Add(time.Duration(i) * time.Second),
		Data: events.Data{Server: "default", Reason: "Exited", Message: "dynamo_default_1a2b3c4d_Dynamo_DP0_model, attempt 3: Exited, code 1"}}
}

// newScreen is what watch shows after some events at a terminal of a size.
func newScreen(models, occurrences, width, height int) watchScreen {
	var m tea.Model = watchScreen{app: &app{}, view: fleet(models), load: func() tea.Msg { return nil }, width: 80}
	m, _ = m.Update(tea.WindowSizeMsg{Width: width, Height: height})
	for i := range occurrences {
		m, _ = m.Update(occurrence(i))
	}
	return m.(watchScreen)
}

// TestWatchScreen compares what watch shows with the files in testdata/watch.
func TestWatchScreen(t *testing.T) {
	failing := newScreen(2, 2, 80, 24)
	next, _ := failing.Update(errors.New("nats: timeout"))
	for name, s := range map[string]watchScreen{
		"80x24":         newScreen(3, 4, 80, 24),
		"80x24-full":    newScreen(30, 12, 80, 24), // the events keep their rows
		"80x24-quiet":   newScreen(1, 0, 80, 24),
		"80x24-broken":  next.(watchScreen),
		"40x12":         newScreen(6, 6, 40, 12),
		"120x30":        newScreen(3, 25, 120, 30),
		"nothing-80x24": newScreen(0, 1, 80, 24),
	} {
		t.Run(name, func(t *testing.T) {
			path := "testdata/watch/" + name + ".txt"
			have := s.content() + "\n"
			if *update {
				if err := os.WriteFile(path, []byte(have), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), have); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestWatchResize: whatever size the terminal takes, nothing is wider or higher,
// and the newest event is there where there is room for any.
func TestWatchResize(t *testing.T) {
	var m tea.Model = newScreen(30, 20, 80, 24)
	for _, size := range [][2]int{{80, 24}, {200, 60}, {40, 10}, {20, 5}, {10, 3}, {1, 1}, {80, 24}} {
		m, _ = m.Update(tea.WindowSizeMsg{Width: size[0], Height: size[1]})
		view := m.View()
		lines := strings.Split(view.Content, "\n")
		if len(lines) > size[1] || lipgloss.Width(view.Content) > size[0] {
			t.Errorf("%v: %d rows of %d columns", size, len(lines), lipgloss.Width(view.Content))
		}
		if size[0] >= 40 && !strings.Contains(view.Content, "12:00:19") {
			t.Errorf("%v: the newest event is not shown:\n%s", size, view.Content)
		}
	}
}

// TestWatchKeys: which keys end it.
func TestWatchKeys(t *testing.T) {
	s := newScreen(1, 0, 80, 24)
	for key, ends := range map[tea.KeyPressMsg]bool{{Code: 'q', Text: "q"}: true, {Code: tea.KeyEscape}: true, {Code: 'c', Mod: tea.ModCtrl}: true, {Code: 'x', Text: "x"}: false} {
		if _, cmd := s.Update(key); (cmd != nil) != ends {
			t.Errorf("%s: ends %t, want %t", key, cmd != nil, ends)
		}
	}
}
