package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/spf13/cobra"

	"dynctl/events"
	"dynctl/state/kv"
)

// Bounds of the screen of watch.
const (
	watchRefresh = time.Second
	watchEvents  = 10
)

func (a *app) watchCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "watch",
		Short:   "Follow the status and the last events on one screen",
		Long:    "Follow the status and the last events on one screen, until q or Ctrl-C.\n\nIt needs a terminal; a script uses `dynctl events -f` or `dynctl status -o json`.",
		Example: "  dynctl watch\n  dynctl watch --server default",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !isTerminal(a.out) {
				return usageErr("watch needs a terminal: use `dynctl events -f` or `dynctl status`")
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
	s := screen{app: a, view: first, load: func() tea.Msg { return a.reload(ctx, c) }, width: a.width()}
	program := tea.NewProgram(s, tea.WithContext(ctx), tea.WithInput(a.in), tea.WithOutput(a.out))
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

// screen is what watch shows.
type screen struct {
	*app
	view   *overview
	events []events.Event
	err    error
	load   tea.Cmd
	width  int
	height int
}

// Init asks for the first refresh.
func (s screen) Init() tea.Cmd { return s.later() }

func (s screen) later() tea.Cmd {
	return tea.Tick(watchRefresh, func(time.Time) tea.Msg { return refresh{} })
}

// Update takes one message. Whatever changes the status is an event, so an event
// reloads at once.
func (s screen) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
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
func (s screen) View() tea.View {
	view := tea.NewView(s.content())
	view.AltScreen = true
	view.WindowTitle = "dynctl"
	return view
}

func (s screen) content() string {
	var b strings.Builder
	for _, line := range s.view.lines(s.style, s.width) {
		b.WriteString(line + "\n")
	}
	if len(s.events) > 0 {
		b.WriteString("\n")
		p := eventPrinter{out: &b, style: s.style}
		for _, e := range s.events {
			// A string takes everything.
			_ = p.print(e)
		}
	}
	if s.err != nil {
		b.WriteString("\n" + s.style.bad("cannot refresh: "+firstLine(s.err.Error())) + "\n")
	}
	lines := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
	if s.height > 0 && len(lines) > s.height {
		lines = append(lines[:s.height-1], s.style.dim("... more: dynctl status"))
	}
	return strings.Join(lines, "\n")
}
