package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
	"github.com/spf13/cobra"

	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/cmd/dynctl/internal/prose"
	"dynctl/cmd/internal/screen"
	"dynctl/events"
	"dynctl/state"
	"dynctl/state/kv"
)

// Bounds of the screen of watch.
const (
	watchRefresh = time.Second
	watchEvents  = 30
)

func (a *app) watchCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "watch",
		Short:   "Follow the status and the last events on one screen",
		Long:    "Follow the status and the last events on one screen, until q or Ctrl-C.\n\nIt needs a terminal; a script uses `dynctl events -f` or `dynctl status -o json`.",
		Example: "  dynctl watch\n  dynctl watch --server default",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !isTerminal(a.out) || os.Getenv("TERM") == "dumb" {
				return exit.Usagef("watch needs a terminal: use `dynctl events -f` or `dynctl status`")
			}
			return a.withClient(cmd.Context(), func(c *kv.Client) error { return a.watch(cmd.Context(), c) })
		},
	}
}

func (a *app) watch(ctx context.Context, c *kv.Client) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	first, err := a.overview(ctx, c)
	if err != nil {
		return err
	}
	s := watchScreen{app: a, view: first, load: func() tea.Msg { return a.reload(ctx, c) }, width: a.width()}
	program := tea.NewProgram(s, tea.WithContext(ctx), tea.WithInput(a.in), tea.WithOutput(fileOf(a.out)))
	go func() {
		o := events.TailOptions{Server: a.conn.server, Since: a.now().Add(-time.Hour), Follow: true}
		for e, err := range events.Tail(ctx, c.JetStream(), o) {
			if err == nil {
				program.Send(e)
			}
		}
	}()
	_, err = program.Run()
	if errors.Is(err, tea.ErrInterrupted) || errors.Is(err, tea.ErrProgramKilled) {
		return nil
	}
	return err
}

// reload reads everything again; a failure is shown until the next success.
func (a *app) reload(ctx context.Context, c *kv.Client) tea.Msg {
	v, err := a.overview(ctx, c)
	if err != nil {
		return err
	}
	return v
}

// refresh asks for a reload.
type refresh struct{}

// watchScreen is what watch shows.
type watchScreen struct {
	*app
	view   *overview
	events []events.Event
	err    error
	load   tea.Cmd
	width  int
	height int
}

// Init asks for the first refresh.
func (s watchScreen) Init() tea.Cmd { return s.later() }

func (s watchScreen) later() tea.Cmd {
	return tea.Tick(watchRefresh, func(time.Time) tea.Msg { return refresh{} })
}

// Update takes one message. Whatever changes the status is an event, so an event
// reloads at once.
func (s watchScreen) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch m := msg.(type) {
	case tea.KeyPressMsg:
		if slices.Contains([]string{"q", "esc", "ctrl+c"}, m.String()) {
			return s, tea.Quit
		}
	case tea.WindowSizeMsg:
		s.width, s.height = m.Width, m.Height
	case refresh:
		return s, tea.Batch(s.load, s.later())
	case *overview:
		s.view, s.err = m, nil
	case error:
		s.err = m
	case events.Event:
		s.events = append(slices.Clone(s.events), m)
		s.events = s.events[max(0, len(s.events)-watchEvents):]
		return s, s.load
	}
	return s, nil
}

// View is the status, the last events, and what is wrong with the connection.
func (s watchScreen) View() tea.View {
	view := tea.NewView(s.content())
	view.AltScreen = true
	view.WindowTitle = "dynctl"
	return view
}

// content fits the screen: the status above, the last events below it in rows that
// are theirs, whatever the status needs, and at the bottom what is wrong or which
// key ends it.
func (s watchScreen) content() string {
	status := strings.Split(strings.Join(s.view.lines(s.style, s.width), "\n"), "\n")
	foot := s.style.dim("q quits")
	if s.err != nil {
		foot = s.style.bad("cannot refresh: " + prose.FirstLine(s.err.Error()))
	}
	events := s.events
	if s.height > 0 {
		const fixed = 3 // a blank line, the heading of the events, the last line
		events = events[len(events)-s.eventRows(len(status)+fixed):]
		status = s.cut(status, s.height-fixed-len(events))
	}
	lines := slices.Concat(status, []string{"", s.style.dim("last events, UTC")})
	for _, e := range events {
		lines = append(lines, s.eventLine(e))
	}
	if len(events) == 0 {
		lines = lines[:len(lines)-1]
	}
	lines = append(lines, foot)
	if s.height > 0 && len(lines) > s.height {
		lines = lines[:s.height]
	}
	for i, line := range lines {
		lines[i] = clip(screen.Clean(line), s.width) // it draws past the writer that cleans
	}
	return strings.Join(lines, "\n")
}

// clip cuts a line off where the screen ends, and shows that it did.
func clip(line string, width int) string {
	switch {
	case lipgloss.Width(line) <= width:
		return line
	case width < 2:
		return ""
	}
	return lipgloss.NewStyle().MaxWidth(width-1).Render(line) + "…"
}

// eventRows is how many events are shown beside so many other rows: a third of the
// screen at least, and what the others leave.
func (s watchScreen) eventRows(others int) int {
	return min(len(s.events), max(s.height/3, s.height-others))
}

// cut keeps the first rows and the last one, which tells of Ray.
func (s watchScreen) cut(status []string, rows int) []string {
	switch {
	case len(status) <= rows:
		return status
	case rows < 3:
		return status[:max(rows, 0)]
	}
	left := append([]string{}, status[:rows-2]...)
	more := s.style.dim("... and " + state.Counted(len(status)-rows+1, "line") + " more: dynctl status")
	return append(left, more, status[len(status)-1])
}

// eventLine is one event on one line; what is too long is cut off by the screen.
func (s watchScreen) eventLine(e events.Event) string {
	cells := s.style.eventCells(e)
	return fmt.Sprintf("%s  %-17s  %s  %s", e.Time.UTC().Format(time.TimeOnly), cells[1], cells[2], cells[3])
}
