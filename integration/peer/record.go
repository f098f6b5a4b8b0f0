package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// record is the file of what was measured.
type record struct {
	Parts map[string]measured `json:"parts"`
}

// measured is what one part gave, all of it on one cluster, in turn.
type measured struct {
	At string `json:"at"`
	// Commit is that of what was measured, where git tells it.
	Commit   string            `json:"commit,omitempty"`
	Machine  string            `json:"machine"`
	Versions map[string]string `json:"versions"`
	// Loads are the machine's load averages of one minute after each run.
	Loads []float64 `json:"loads"`
	// Figures are in ms unless their name ends with another unit, run by run: by what was
	// measured, then by whom (of a fleet: by its number of models; beside the agent: by the
	// number of actors).
	Figures   map[string]map[string][]float64 `json:"figures"`
	Timelines []timeline                      `json:"timelines,omitempty"`
	Kills     []kill                          `json:"kills,omitempty"`
}

// timeline is how one start went; all times are in ms from its beginning.
type timeline struct {
	What string  `json:"what"`
	Who  string  `json:"who"`
	Ms   float64 `json:"ms"` // until the first token; of a roll, until it was complete
	// Idle worker processes that Ray had before.
	Idle      int         `json:"idle"`
	Processes []began     `json:"processes"`
	Events    []happening `json:"events,omitempty"`
}

// began is a process, and the actor's that started it: before 0, one that was idle.
type began struct {
	What  string  `json:"what"`
	Actor float64 `json:"actor"`
	Exec  float64 `json:"exec"`
}

// happening is an event of the stream.
type happening struct {
	What string  `json:"what"`
	Ms   float64 `json:"ms"`
}

// empty is a run of the same cluster of which nothing is measured yet.
func (m measured) empty() measured {
	return measured{At: m.At, Commit: m.Commit, Machine: m.Machine, Versions: m.Versions, Figures: map[string]map[string][]float64{}}
}

// readRecord reads a record, or where there is none the one that is shown in its place.
func readRecord(path, shown string) (r record, err error) {
	r.Parts = map[string]measured{}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		data, err = os.ReadFile(shown)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("%s: %w; remove it to begin anew", path, err)
	}
	return r, nil
}

func (r record) write(path string) error {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(r); err != nil {
		return err
	}
	return os.WriteFile(path, out.Bytes(), 0o644)
}

// with is both: what is recorded, and one run more.
func (m measured) with(run measured) (measured, error) {
	if m.Figures == nil {
		return run, nil
	}
	if m.Machine != run.Machine || !maps.Equal(m.Versions, run.Versions) {
		return m, fmt.Errorf("%s with %v is recorded, and this is %s with %v: measure it anew, without -add", m.Machine, m.Versions, run.Machine, run.Versions)
	}
	if run.Commit != "" && !strings.Contains(m.Commit, run.Commit) {
		m.Commit += ", " + run.Commit
	}
	for what, by := range run.Figures {
		for who, of := range by {
			for _, ms := range of {
				m.note(what, who, ms)
			}
		}
	}
	m.Loads, m.Timelines, m.Kills = append(m.Loads, run.Loads...), append(m.Timelines, run.Timelines...), append(m.Kills, run.Kills...)
	return m, nil
}

func (m *measured) add(what, who string, took time.Duration) { m.note(what, who, milliseconds(took)) }

func (m *measured) note(what, who string, ms float64) {
	if m.Figures[what] == nil {
		m.Figures[what] = map[string][]float64{}
	}
	m.Figures[what][who] = append(m.Figures[what][who], ms)
}

// load notes how busy the machine is, with what is measured itself.
func (m *measured) load() {
	data, err := os.ReadFile("/proc/loadavg")
	var one float64
	if err == nil {
		_, err = fmt.Sscan(string(data), &one)
	}
	if err == nil {
		m.Loads = append(m.Loads, one)
	}
}

// describe says where and of what it is measured.
func describe() (measured, error) {
	m := measured{At: time.Now().UTC().Format(time.RFC3339), Figures: map[string]map[string][]float64{}, Versions: map[string]string{"go": runtime.Version()}}
	if out, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output(); err == nil {
		m.Commit = strings.TrimSpace(string(out))
		if exec.Command("git", "diff", "--quiet", "HEAD", "--", ":!docs").Run() != nil { // the pages are written meanwhile
			m.Commit += " and changes"
		}
	}
	cpu, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return m, err
	}
	for line := range strings.Lines(string(cpu)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			m.Machine = fmt.Sprintf("%d cores of %s", runtime.NumCPU(), strings.TrimSpace(value))
		}
	}
	m.load()
	return m, nil
}

// describePython adds what runs on Ray.
func (m *measured) describePython(venv string) error {
	script := "import importlib.metadata as m, json, platform\n" +
		"has = {d.metadata['Name']: d.version for d in m.distributions()}\n" +
		"print(json.dumps({'python': platform.python_version()} | {p: has[p] for p in ('ray', 'ai-dynamo', 'nemo-curator') if p in has}))"
	out, err := exec.Command(filepath.Join(venv, "bin", "python"), "-c", script).Output()
	if err != nil {
		return fmt.Errorf("%s: %w; run `make bench-peer`, which makes it", venv, err)
	}
	return json.Unmarshal(out, &m.Versions)
}

// median and spread of figures; nothing of none.
func median(of []float64) float64 {
	if len(of) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(of))
	mid := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[mid-1] + sorted[mid]) / 2
	}
	return sorted[mid]
}
