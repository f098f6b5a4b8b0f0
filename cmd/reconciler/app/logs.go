package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"dynctl/cmd/internal/agentlogs"
	"dynctl/cmd/reconciler/app/door"
	"dynctl/state"
)

const (
	// defaultLogLines and maxLogLines are how many of the last lines are sent unless asked
	// otherwise, and at most.
	defaultLogLines = 500
	maxLogLines     = 10000
	// maxLogBytes bounds one answer: lines may be of any length.
	maxLogBytes = 16 << 20
	// logWriteTimeout ends the answer to a reader that is gone, logTimeout any answer.
	logWriteTimeout = 10 * time.Second
	logTimeout      = time.Minute
	// maxLogs bounds the logs that are read at once, maxLogsEach those of one client.
	maxLogs, maxLogsEach = 32, 8
)

func newLogGate() *door.Gate { return door.NewGate("logs", maxLogs, maxLogsEach) }

// serveLog answers with the last lines of an actor's log, as the agent reads them.
func (a *App) serveLog(w http.ResponseWriter, r *http.Request) {
	leave, err := a.logs.Enter(door.Client(r))
	if err != nil {
		door.Deny(w, err)
		return
	}
	defer leave()
	ctx, cancel := context.WithTimeout(r.Context(), logTimeout)
	defer cancel()
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	lines, previous, err := logQuery(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	l := logCopy{app: a, out: w, control: http.NewResponseController(w), request: agentlogs.Request{
		Server: r.PathValue("server"), Unit: r.PathValue("unit"), Actor: r.PathValue("actor"), Previous: previous, Lines: lines,
	}}
	reply, err := l.ask(ctx)
	switch {
	case err != nil:
		refuse(w, codeOf(err), a.explainLog(err, l.request))
	case previous && reply.File == 0:
		refuse(w, http.StatusNotFound, "there is no log before this one")
	case reply.Attempt == 0:
		refuse(w, http.StatusNotFound, "nothing was executed yet, so there is no log")
	default:
		h.Set("X-Log-Path", reply.Path)
		h.Set("X-Log-Attempt", strconv.Itoa(reply.Attempt))
		l.copy(ctx, reply)
	}
}

// logQuery reads ?lines=N&previous=1.
func logQuery(r *http.Request) (lines int, previous bool, err error) {
	lines, q := defaultLogLines, r.URL.Query()
	if text := q.Get("lines"); text != "" {
		if lines, err = strconv.Atoi(text); err != nil || lines < 1 || lines > maxLogLines {
			return 0, false, fmt.Errorf("lines=%s: want a number from 1 to %d; `dynctl logs -n -1` prints whole logs", state.Clip(text, 64), maxLogLines)
		}
	}
	if text := q.Get("previous"); text != "" {
		if previous, err = strconv.ParseBool(text); err != nil {
			return 0, false, fmt.Errorf("previous=%s: want 1 for the log of the attempt before", state.Clip(text, 64))
		}
	}
	return lines, previous, nil
}

func refuse(w http.ResponseWriter, code int, text string) {
	w.WriteHeader(code)
	_, _ = io.WriteString(w, text+"\n") // the reader is gone where this fails
}

// codeOf is the HTTP status of what keeps a log from being read.
func codeOf(err error) int {
	refused, ok := errors.AsType[*agentlogs.Refusal](err)
	switch {
	case errors.Is(err, agentlogs.ErrAgentAway), ok && refused.Reason == agentlogs.Stale:
		return http.StatusServiceUnavailable
	case !ok:
		return http.StatusBadGateway
	}
	switch refused.Reason {
	case agentlogs.NotFound:
		return http.StatusNotFound
	case agentlogs.ActorGone:
		return http.StatusGone
	case agentlogs.ActorSilent:
		return http.StatusGatewayTimeout
	case agentlogs.BadRequest:
		return http.StatusBadRequest
	}
	return http.StatusBadGateway
}

// explainLog is what a person reads instead of the log: why, and what is known of
// the process from elsewhere.
func (a *App) explainLog(err error, r agentlogs.Request) string {
	text := err.Error()
	snapshot := a.snapshot.Load()
	if errors.Is(err, agentlogs.ErrAgentAway) {
		text += ", so logs cannot be read: "
		if snapshot == nil || snapshot.input.Observed.Agent == nil {
			return text + "none has ever reported (see /readyz)"
		}
		heard := time.Since(snapshot.input.Observed.Agent.At).Round(time.Second)
		return text + fmt.Sprintf("its last heartbeat was %s ago (see /readyz)", heard)
	}
	if refused, ok := errors.AsType[*agentlogs.Refusal](err); !ok || refused.Reason != agentlogs.ActorGone || snapshot == nil {
		return text
	}
	for _, u := range snapshot.input.Observed.Units {
		for _, actor := range u.Actors {
			if u.Server == r.Server && u.Unit == r.Unit && actor.Name == r.Actor {
				session := ""
				if agent := snapshot.input.Observed.Agent; agent != nil {
					session = agent.Session
				}
				text += fmt.Sprintf("; its log may lie at %s:%s", actor.IP, agentlogs.Path(session, *u, actor))
				return text + lastWords(actor.Exit)
			}
		}
	}
	return text
}

// lastWords is the end of the log that was recorded at an exit.
func lastWords(e *state.Exit) string {
	if e == nil {
		return ""
	}
	text := fmt.Sprintf("\n\nAttempt %d ended at %s: code %d, %s.", e.Attempt, e.At.UTC().Format(time.RFC3339), e.Code, e.Reason)
	if e.Cause != "" {
		text += " Cause: " + e.Cause
	}
	if e.LogTail != "" {
		text += " Its last lines:\n\n" + strings.TrimRight(e.LogTail, "\n")
	}
	return text
}

// logCopy writes a log piece by piece, without what was meant for a terminal.
type logCopy struct {
	app     *App
	out     io.Writer
	control *http.ResponseController
	request agentlogs.Request
	rest    string // a line that is not finished
	sent    int
}

func (l *logCopy) ask(ctx context.Context) (agentlogs.Reply, error) {
	return agentlogs.Ask(ctx, l.app.nc, l.request)
}

// copy goes on as long as there is more. What goes wrong on the way stands at the
// end of the text: the status was sent before.
func (l *logCopy) copy(ctx context.Context, reply agentlogs.Reply) {
	for {
		attempt := reply.Attempt
		if !l.take(reply.Text) || !reply.More {
			break
		}
		if l.sent > maxLogBytes {
			l.take(fmt.Sprintf("\n--- cut after %d MiB: `dynctl logs` prints all ---\n", maxLogBytes>>20))
			break
		}
		var err error
		l.request.Position = &reply.Position
		if reply, err = l.ask(ctx); err != nil {
			l.take("\n--- " + err.Error() + " ---\n")
			break
		}
		if reply.Attempt != attempt {
			l.take(fmt.Sprintf("\n--- attempt %d ---\n", reply.Attempt))
		}
	}
	if l.rest != "" {
		l.take("\n")
	}
}

// take writes the lines that are complete, and reports whether somebody reads them.
func (l *logCopy) take(text string) bool {
	text = l.rest + text
	end := strings.LastIndexByte(text, '\n') + 1
	l.rest = text[end:]
	var b strings.Builder
	for line := range strings.Lines(text[:end]) {
		b.WriteString(state.Visible(strings.TrimRight(agentlogs.Plain(strings.TrimSuffix(line, "\n")), "\r")))
		b.WriteByte('\n')
	}
	// Not every writer has deadlines; those of net/http do.
	_ = l.control.SetWriteDeadline(time.Now().Add(logWriteTimeout))
	n, err := io.WriteString(l.out, b.String())
	l.sent += n
	return err == nil
}
