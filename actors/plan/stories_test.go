package plan_test

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"dynctl/actors"
	"dynctl/actors/plan"
	"dynctl/state"
)

var updateStories = flag.Bool("update-stories", false, "write what the stories of testdata/stories observe and plan")

// TestStories tells one rule of the planner per file, in sections that are played in
// their order, any of them as often as the story needs:
//
//	nodes         "ID GPUs", a line each
//	desired.yaml  specs that are written now
//	happens       what happens in the cluster, a line each (story_steps_test.go)
//	observed      what units there are, with what they do
//	plan          what one round plans then, and what it says where not all is well
//	N seconds     what is planned in the rounds of so many seconds
//
// A generation is called by its model and a number, in the order in which they come:
// a1, a2. What is observed and planned is written by -update-stories and read by people.
func TestStories(t *testing.T) {
	for _, file := range storyFiles(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if len(bytes.TrimSpace(archive.Comment)) == 0 {
				t.Error("it does not say which rule it tells")
			}
			tell(t, archive)
			if *updateStories {
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func storyFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "stories", "*.txtar"))
	if err != nil || len(files) < 25 {
		t.Fatalf("%d stories, %v", len(files), err)
	}
	return files
}

// listener hears where a story goes another way than it is told.
type listener interface {
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// story is a cluster with the names by which a story calls its generations.
type story struct {
	listener
	*walk
	names map[string]string // by generation
	count map[string]int    // of a model
}

// tell plays a story, and compares or replaces what it expects.
func tell(t listener, archive *txtar.Archive) {
	s := &story{listener: t, walk: &walk{cluster: newCluster()}, names: map[string]string{}, count: map[string]int{}}
	planned := false
	for i, f := range archive.Files {
		var got string
		switch f.Name {
		case "nodes":
			for line := range strings.Lines(string(f.Data)) {
				id, gpus, _ := strings.Cut(strings.TrimSpace(line), " ")
				n, err := strconv.Atoi(gpus)
				if err != nil {
					t.Fatalf("nodes: %q", line)
				}
				s.nodes = append(s.nodes, node(id, n))
			}
			continue
		case "desired.yaml":
			for doc := range strings.SplitSeq(string(f.Data), "\n---\n") {
				s.put(doc)
			}
			continue
		case "happens":
			for line := range strings.Lines(string(f.Data)) {
				s.happens(strings.Fields(line))
			}
			continue
		case "observed":
			got = s.observed()
		case "plan":
			got, planned = s.plan(), true
		default:
			n, err := strconv.Atoi(strings.TrimSuffix(f.Name, " seconds"))
			if err != nil {
				t.Fatalf("no section is called %s", f.Name)
			}
			got, planned = s.seconds(n), true
		}
		if *updateStories {
			archive.Files[i].Data = []byte(got)
		} else if d := gocmp.Diff(string(f.Data), got); d != "" {
			t.Errorf("section %d, %s (-want +got):\n%s", i+1, f.Name, d)
		}
	}
	if !planned {
		t.Errorf("it plans nothing")
	}
}

// pass plans one round and carries it out.
func (s *story) pass() actors.Result {
	in, kept := s.input()
	for _, m := range in.Desired.Models {
		if m.Accepted != 0 {
			s.name(m.Name, m.Template.Generation)
		}
	}
	r := plan.Plan(in)
	if broken := plan.Check(in, r); len(broken) > 0 {
		s.Errorf("it breaks what must hold of every plan:\n%s", strings.Join(broken, "\n"))
	}
	s.carryOut(r, kept)
	return r
}

// name names a generation that is met for the first time.
func (s *story) name(model, generation string) {
	if _, ok := s.names[generation]; !ok {
		s.count[model]++
		s.names[generation] = fmt.Sprintf("%s%d", model, s.count[model])
	}
}

// generation is what is called by a name.
func (s *story) generation(name string) string {
	for generation, n := range s.names {
		if n == name {
			return generation
		}
	}
	s.Fatalf("no generation is called %s yet; there are %v", name, s.names)
	return ""
}

var hexGeneration = regexp.MustCompile(`[0-9a-f]{8}`)

// readable is a text in which generations have their names.
func (s *story) readable(text string) string {
	return hexGeneration.ReplaceAllStringFunc(text, func(g string) string {
		if name, ok := s.names[g]; ok {
			return name
		}
		return g
	})
}

// observed lists the units.
func (s *story) observed() string {
	var b strings.Builder
	for _, k := range sortedKeys(s.units) {
		u := s.units[k]
		fmt.Fprintf(&b, "%s %s", k.Unit, u.State)
		if len(u.PlacementGroup.Nodes) > 0 && u.PlacementGroup.State == "CREATED" {
			fmt.Fprintf(&b, " on %s", strings.Join(slices.Compact(slices.Clone(u.PlacementGroup.Nodes)), " "))
		}
		for _, a := range u.Actors {
			if a.Attempt > 1 {
				fmt.Fprintf(&b, ", attempt %d", a.Attempt)
			}
		}
		b.WriteString("\n")
	}
	return s.sorted(b.String())
}

// sorted is a readable text with its lines in order, which is not that of the hashes.
func (s *story) sorted(text string) string {
	lines := strings.SplitAfter(s.readable(text), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// plan makes a round, which is all that happens, and writes it down.
func (s *story) plan() string {
	r := s.pass()
	actions := s.actions(r)
	if actions == "" {
		actions = "nothing\n"
	}
	var b strings.Builder
	for _, st := range r.Statuses {
		b.WriteString(told(*st))
	}
	return actions + s.readable(b.String())
}

// seconds lets time pass, and writes down what is planned in it. What is waited for, or
// kept behind a gate, is told when it begins.
func (s *story) seconds(n int) string {
	var b strings.Builder
	var before []string
	for i := range n {
		now := strings.SplitAfter(s.actions(s.pass()), "\n")
		for _, line := range now {
			lasts := strings.HasPrefix(line, "wait ") || strings.HasPrefix(line, "gate ")
			if line == "" || lasts && slices.Contains(before, line) {
				continue
			}
			fmt.Fprintf(&b, "%d s: %s", i, line)
		}
		before = now
		s.tick()
	}
	return b.String()
}

// actions are a line for each thing that a plan does or waits for.
func (s *story) actions(r actors.Result) string {
	var b strings.Builder
	for _, x := range r.Revokes {
		fmt.Fprintf(&b, "revoke the lease of %s: %s\n", cmp.Or(x.Key.Unit, "nobody"), x.Reason)
	}
	for _, x := range r.Starts {
		highest := 0
		for _, a := range x.Attempts {
			highest = max(highest, a.Number)
		}
		fmt.Fprintf(&b, "start %s, attempt %d: %s\n", x.Template.Unit, highest, x.Reason)
	}
	for _, x := range r.Stops {
		retires := ""
		if x.Retires {
			retires = ", which retires"
		}
		fmt.Fprintf(&b, "stop %s%s: %s\n", x.Key.Unit, retires, x.Reason)
	}
	for _, x := range r.Sweeps {
		fmt.Fprintf(&b, "sweep %s: %s\n", x.Key.Unit, x.Reason)
	}
	for _, x := range r.Gates {
		fmt.Fprintf(&b, "gate %s: %s\n", x.Namespace, x.Reason)
	}
	for _, x := range r.Lifts {
		fmt.Fprintf(&b, "lift the gate of %s: %s\n", x.Namespace, x.Reason)
	}
	for _, x := range r.Orphans {
		fmt.Fprintf(&b, "orphan %s: %s\n", x.Key.Unit, x.Reason)
	}
	for _, x := range r.Waits {
		fmt.Fprintf(&b, "wait %s: %s\n", cmp.Or(x.Key.Unit, "server "+x.Key.Server), x.Reason)
	}
	for _, k := range r.Gone {
		fmt.Fprintf(&b, "forget %s\n", k)
	}
	return s.sorted(b.String())
}

// told is whether an object is served, and which of the conditions that a person looks
// at first say that something is not as it is wanted.
func told(st state.Status) string {
	served, name := "is served", st.Name
	var lines []string
	for _, c := range st.Conditions {
		first := slices.Contains([]string{state.CondAccepted, state.CondScheduled, state.CondUpToDate, state.CondAvailable}, c.Type) &&
			(st.Kind == state.KindModel || c.Type == state.CondAccepted)
		if !first || c.Status == state.StatusTrue {
			continue
		}
		if c.Type == state.CondAvailable {
			served = "is not served"
		}
		lines = append(lines, fmt.Sprintf("  %s %s: %s: %s\n", c.Type, c.Status, c.Reason, c.Message))
	}
	if st.Kind == state.KindServer {
		if len(lines) == 0 {
			return ""
		}
		name, served = "server "+st.Server, "has a rejected revision"
	}
	return fmt.Sprintf("%s %s\n%s", name, served, strings.Join(lines, ""))
}
