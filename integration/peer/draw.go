package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Sizes of a picture, in pixels.
const (
	width     = 760
	left      = 90  // where an axis begins
	right     = 740 // where it ends
	lineSpace = 16
)

// style lets a picture be read on a light page and on a dark one.
const style = `<style>text{font:12px sans-serif;fill:#24292f}.t{font-weight:600}.s{font-size:11px;fill:#57606a}` +
	`.g{stroke:#d0d7de;stroke-width:1}.e{stroke:#24292f;stroke-width:1.5}.a{fill:#9fc5ef}.p{fill:#2f6fb5}` +
	`.l0{stroke:#2f6fb5}.l1{stroke:#bc4c00}.l2{stroke:#8250df}.l3{stroke:#1a7f37}.l4{stroke:#bf3989}.l5{stroke:#7d6608}` +
	`polyline{fill:none}line,polyline{stroke-width:2}.x{stroke:#cf222e}` +
	`@media (prefers-color-scheme:dark){text{fill:#e6edf3}.s{fill:#9198a1}.g{stroke:#3d444d}.e{stroke:#e6edf3}.a{fill:#3b5f87}.p{fill:#79b0ee}` +
	`.l0{stroke:#79b0ee}.l1{stroke:#f0883e}.l2{stroke:#b58cf5}.l3{stroke:#3fb950}.l4{stroke:#f778ba}.l5{stroke:#d4b106}.x{stroke:#ff7b72}}</style>` + "\n"

// drawing is an SVG under way.
type drawing struct{ strings.Builder }

func (d *drawing) text(x, y float64, class, text string) {
	escaped := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(text)
	fmt.Fprintf(d, "<text x=\"%.0f\" y=\"%.0f\" class=\"%s\">%s</text>\n", x, y, class, escaped)
}

func (d *drawing) line(class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(d, "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", class, x1, y1, x2, y2)
}

func (d *drawing) bar(class string, x1, x2, y float64) {
	fmt.Fprintf(d, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"9\" rx=\"2\"/>\n", class, x1, y-9, max(x2-x1, 1))
}

func (d *drawing) done(height float64) string {
	return fmt.Sprintf("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %.0f\" width=\"%d\" height=\"%.0f\">\n", width, height, width, height) +
		style + d.String() + "</svg>\n"
}

// drawAll draws what there is a record of.
func (r record) drawAll(dir string) error {
	for name, text := range r.pictures() {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// pictures are the files by name.
func (r record) pictures() map[string]string {
	out := map[string]string{}
	if p, has := r.Parts[partRay]; has {
		out["start-timeline.svg"] = p.drawStart("start-1")
	}
	if p, has := r.Parts[partFleet]; has {
		out["fleet-cost.svg"] = p.drawFleet()
	}
	if p, has := r.Parts[partKill]; has {
		out["gap-around-a-kill.svg"] = p.drawKills()
	}
	return out
}

// typical is the timeline of the run whose time is the median of its contender's.
func (m measured) typical(what, who string) (t timeline, found bool) {
	middle := median(m.Figures[what][who])
	for _, other := range m.Timelines {
		if other.What == what && other.Who == who && (!found || math.Abs(other.Ms-middle) < math.Abs(t.Ms-middle)) {
			t, found = other, true
		}
	}
	return t, found
}

// drawStart shows one start of each contender: for each process how long its actor was
// on the way, and from when on it ran.
func (m measured) drawStart(what string) string {
	d, y := &drawing{}, 44.0
	var shown []timeline
	longest := 1.0
	for _, who := range []string{"floor", "ours", "peer"} {
		if t, found := m.typical(what, who); found {
			shown, longest = append(shown, t), max(longest, t.Ms)
		}
	}
	x := func(ms float64) float64 { return left + min(max(ms, 0), longest)/longest*(right-left-60) }
	d.text(10, 18, "t", "From nothing to the first token of one model: the median run of each")
	d.text(10, 33, "s", "light: its actor's process starts; dark: the process itself; at the line: the first token")
	top := y
	for _, t := range shown {
		y += lineSpace
		d.text(10, y, "t", t.Who)
		y += 2
		for _, p := range t.Processes {
			y += lineSpace
			d.text(24, y, "s", p.What)
			d.bar("a", x(p.Actor), x(p.Exec), y)
			d.bar("p", x(p.Exec), x(t.Ms), y)
		}
		d.line("e", x(t.Ms), y-lineSpace*float64(len(t.Processes)), x(t.Ms), y+3)
		d.text(x(t.Ms)+5, y, "", seconds(t.Ms))
		y += 6
	}
	for s := 0.0; s <= longest; s += 1000 {
		d.line("g", x(s), top, x(s), y+6)
		d.text(x(s)-5, y+20, "s", strconv.Itoa(int(s/1000))+" s")
	}
	return d.done(y + 30)
}

func seconds(ms float64) string { return fmt.Sprintf("%.2f s", ms/1000) }
