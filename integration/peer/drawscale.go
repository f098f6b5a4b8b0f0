package main

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// curve is a figure over the size of the fleet.
type curve struct{ says, figure string }

var curves = []curve{
	{"one put, to its start command", "put-start-p50-ms"},
	{"one exit, to the next start command", "exit-start-p50-ms"},
	{"one put until its model is ready, CPU of the whole process, simulation included", "put-cpu-ms"},
	{"plan of a fleet at rest, as a whole", "plan-ms"},
	{"the same, with what is remembered of the plan before", "plan-again-ms"},
	{"acceptance of one more model", acceptance},
}

// Where the graph of a picture lies, in pixels.
const graphTop, graphBottom = 40.0, 330.0

// decades are the names of powers of ten of a ms, from 1 µs on.
var decades = []string{"1 µs", "10 µs", "0.1 ms", "1 ms", "10 ms", "0.1 s", "1 s", "10 s"}

// times draws an axis by tens between two powers of ten of a ms, and returns where a time lies.
func (d *drawing) times(from, to int) (y func(ms float64) float64) {
	y = func(ms float64) float64 {
		at := math.Log10(max(ms, math.Pow10(from))) - float64(from)
		return graphBottom - at/float64(to-from)*(graphBottom-graphTop)
	}
	for i := from; i <= to; i++ {
		d.line("g", left, y(math.Pow10(i)), right, y(math.Pow10(i)))
		d.text(40, y(math.Pow10(i))+4, "s", decades[i+3])
	}
	return y
}

// key says what a line means.
func (d *drawing) key(class string, y float64, says string) {
	d.line(class, left, y-4, left+24, y-4)
	d.text(left+32, y, "", says)
}

// drawFleet shows each curve over the size of the fleet, both axes by tens.
func (m measured) drawFleet() string {
	const sizes = 4 // powers of ten: 1 to 10,000 models
	d := &drawing{}
	x := func(models float64) float64 { return left + math.Log10(models)/sizes*(right-left) }
	d.text(10, 18, "t", "What one change costs beside a fleet, by its number of models (medians)")
	for i := range sizes + 1 {
		at := math.Pow10(i)
		d.line("g", x(at), graphTop, x(at), graphBottom)
		label := strconv.Itoa(int(at))
		d.text(x(at)-3*float64(len(label)), graphBottom+16, "s", label)
	}
	y := d.times(-3, 4)
	under := graphBottom + 36
	for i, c := range curves {
		of := m.Figures[c.figure]
		var points []string
		bySize := func(a, b string) int { return cmp.Compare(number(a), number(b)) }
		for _, models := range slices.SortedFunc(maps.Keys(of), bySize) {
			points = append(points, fmt.Sprintf("%.1f,%.1f", x(number(models)), y(median(of[models]))))
		}
		class := "l" + strconv.Itoa(i)
		fmt.Fprintf(d, "<polyline class=\"%s\" points=\"%s\"/>\n", class, strings.Join(points, " "))
		d.key(class, under, c.says)
		under += lineSpace
	}
	return d.done(under)
}

// number is a figure's size of fleet; what is none does not get into a record.
func number(text string) float64 {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 1
	}
	return n
}

// What a picture of kills shows, in ms: from when to when, and in how large steps.
const shownBefore, shownAfter, shownStep = -500.0, 2000.0, 20.0

// drawKills shows how long requests took around the end of a worker, by when they began: by
// each plane the median over all kills, the slowest of all, and each that failed.
func (m measured) drawKills() string {
	d := &drawing{}
	x := func(ms float64) float64 { return left + (ms-shownBefore)/(shownAfter-shownBefore)*(right-left) }
	d.text(10, 18, "t", fmt.Sprintf("Requests around the end of one worker of two: how long each took, by when it began (%d kills)", len(m.Kills)))
	for ms := shownBefore; ms <= shownAfter; ms += 500 {
		d.line("g", x(ms), graphTop, x(ms), graphBottom)
		d.text(x(ms)-14, graphBottom+16, "s", fmt.Sprintf("%.1f s", ms/1000))
	}
	y := d.times(0, 4)
	d.line("e", x(0), graphTop, x(0), graphBottom)
	under := graphBottom + 36
	for i, plane := range planes {
		var middle, slowest []string
		failed := 0
		for from := shownBefore; from < shownAfter; from += shownStep {
			took, lost := m.askedIn(plane, from, from+shownStep)
			failed += len(lost)
			for _, a := range lost {
				d.cross(x(a.begun), y(a.took))
			}
			if len(took) > 0 {
				at := x(from + shownStep/2)
				middle = append(middle, fmt.Sprintf("%.1f,%.1f", at, y(median(took))))
				slowest = append(slowest, fmt.Sprintf("%.1f,%.1f", at, y(most(took))))
			}
		}
		usual, worst := "l"+strconv.Itoa(2*i), "l"+strconv.Itoa(2*i+1)
		fmt.Fprintf(d, "<polyline class=\"%s\" points=\"%s\"/>\n<polyline class=\"%s\" points=\"%s\"/>\n", worst, strings.Join(slowest, " "), usual, strings.Join(middle, " "))
		d.key(usual, under, "by "+plane+": the median of all kills")
		d.key(worst, under+lineSpace, fmt.Sprintf("the slowest of all kills; failed, marked by crosses: %d", failed))
		under += 2 * lineSpace
	}
	return d.done(under)
}

// askedIn is how long the requests of all kills took that began between two moments, and
// which of them failed.
func (m measured) askedIn(plane string, from, to float64) (took []float64, failed []asked) {
	for _, k := range m.Kills {
		for _, a := range k.Requests {
			switch {
			case k.Plane != plane || a.begun < from || a.begun >= to:
			case a.failed:
				failed = append(failed, a)
			default:
				took = append(took, a.took)
			}
		}
	}
	return took, failed
}

func (d *drawing) cross(x, y float64) {
	d.line("x", x-4, y-4, x+4, y+4)
	d.line("x", x-4, y+4, x+4, y-4)
}
