package app

import (
	"embed"
	"html/template"
	"net/http"

	"dynctl/state"
)

//go:embed page.html
var pageFS embed.FS

var pageTemplate = template.Must(template.ParseFS(pageFS, "page.html"))

// pageData is what the ops page shows.
type pageData struct {
	Missing  []string
	Statuses []state.Status
	Units    []state.Unit
	Nodes    []state.Node
}

// page shows the last round.
func (a *App) page(w http.ResponseWriter, _ *http.Request) {
	d := pageData{Missing: a.missing()}
	if s := a.snapshot.Load(); s != nil {
		d.Statuses, d.Units, d.Nodes = s.result.Statuses, s.input.Observed.Units, s.input.Observed.Nodes
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := pageTemplate.Execute(w, d); err != nil {
		a.log.Debug("ops page", "err", err)
	}
}
