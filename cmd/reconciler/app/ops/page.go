package ops

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"dynctl/cmd/reconciler/app/door"
	"dynctl/state"
)

//go:embed web
var web embed.FS

var pages = template.Must(template.New("").Funcs(functions).ParseFS(web, "web/*.html"))

// sections are the parts that are replaced as a whole, by their template's name,
// which is also the id of their element.
var sections = []string{"summary", "models", "nodes", "units"}

// Page serves the ops page and its stream. Its methods may be called from any
// goroutine.
type Page struct {
	// Timeline is fed by the owner.
	Timeline *Timeline

	source func() Input
	log    *slog.Logger
	// boot tells the timeline of one process from that of the next.
	boot    string
	assets  map[string]asset
	streams *door.Gate

	rendering sync.Mutex // held while parts are made, so that one stream makes them for all

	mu      sync.Mutex
	changed chan struct{} // closed at the next change
	dirty   bool
	parts   []part
}

// part is a rendered section.
type part struct {
	ID      string `json:"id"`
	Version string `json:"version"`
	HTML    string `json:"html"`
}

type asset struct {
	version, kind string
	body          []byte
}

// New makes a page of what source returns; source must not block. log is told
// about what should not happen.
func New(source func() Input, log *slog.Logger) *Page {
	p := &Page{
		Timeline: &Timeline{}, source: source, log: log, boot: strconv.FormatInt(time.Now().UnixMicro(), 36),
		changed: make(chan struct{}), dirty: true, assets: map[string]asset{},
		streams: door.NewGate("pages", maxStreams, maxStreamsEach),
	}
	for name, kind := range map[string]string{"ops.css": "text/css; charset=utf-8", "ops.js": "text/javascript; charset=utf-8"} {
		body, err := web.ReadFile("web/" + name)
		if err != nil {
			panic(err) // the file is part of the program
		}
		p.assets[name] = asset{version(body), kind, body}
	}
	p.Timeline.kick = p.wake
	return p
}

func version(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:6])
}

// Routes adds the page at /, its stream at /events, and its style and script.
func (p *Page) Routes(mux *http.ServeMux) {
	mux.HandleFunc("GET /{$}", p.serve)
	mux.HandleFunc("GET /events", p.stream)
	mux.HandleFunc("GET /assets/{name}", p.asset)
	// The page names its icon; browsers look for one of plain text here.
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
}

// Changed tells the page that the source may return something else now.
func (p *Page) Changed() {
	p.mu.Lock()
	p.dirty = true
	p.mu.Unlock()
	p.wake()
}

// wake lets every stream look for news.
func (p *Page) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.changed)
	p.changed = make(chan struct{})
}

// document is the whole page.
type document struct {
	view
	Parts    map[string]template.HTML
	Timeline timelineView
	CSS, JS  string
}

func (p *Page) serve(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	v := newView(p.source())
	d := document{
		view: v, Parts: map[string]template.HTML{},
		Timeline: p.Timeline.view(p.boot, Filter{Type: q.Get("type"), Model: q.Get("model"), Trouble: q.Get("trouble") != ""}, modelNames(v)),
		CSS:      p.assets["ops.css"].version, JS: p.assets["ops.js"].version,
	}
	var page string
	err := p.renderAll(v, func(part part) {
		d.Parts[part.ID] = template.HTML(part.HTML)
	})
	if err == nil {
		page, err = render("page.html", d)
	}
	if err != nil {
		p.log.Error("ops page", "err", err)
		http.Error(w, "the page cannot be rendered: see the reconciler's log", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	secure(h)
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, page)
}

// secure tells the browser that nothing from elsewhere may be loaded, and that nothing may
// frame the page.
func secure(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "+
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
}

// asset serves the style and the script, for ever under an address that holds
// their version.
func (p *Page) asset(w http.ResponseWriter, r *http.Request) {
	a, ok := p.assets[r.PathValue("name")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	secure(h)
	h.Set("Content-Type", a.kind)
	if r.URL.Query().Get("v") == a.version {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	_, _ = w.Write(a.body)
}

// render executes a template. What others wrote is text to the browser, and nothing in
// it reorders or hides other text.
func render(name string, v any) (string, error) {
	var b strings.Builder
	if err := pages.ExecuteTemplate(&b, name, v); err != nil {
		return "", err
	}
	return state.Visible(b.String()), nil
}

func (p *Page) renderAll(v view, each func(part)) error {
	for _, id := range sections {
		html, err := render(id, v)
		if err != nil {
			return fmt.Errorf("section %s: %w", id, err)
		}
		each(part{id, version([]byte(html)), html})
	}
	return nil
}

// current are the sections as of the last change, rendered once for all streams.
func (p *Page) current() ([]part, error) {
	p.rendering.Lock()
	defer p.rendering.Unlock()
	p.mu.Lock()
	dirty := p.dirty
	p.dirty = false
	parts := p.parts
	p.mu.Unlock()
	if !dirty {
		return parts, nil
	}
	var fresh []part
	if err := p.renderAll(newView(p.source()), func(x part) { fresh = append(fresh, x) }); err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.parts = fresh
	p.mu.Unlock()
	return fresh, nil
}

func modelNames(v view) []string {
	var out []string
	for _, s := range v.Statuses {
		if s.Kind == state.KindModel {
			out = append(out, s.Name)
		}
	}
	return out
}
