package main

import (
	"encoding/json"
	"errors"
	"os"
	"regexp"

	"github.com/spf13/cobra"

	"dynctl/actors/offline"
	"dynctl/cmd/dynctl/internal/exit"
	"dynctl/cmd/dynctl/internal/prose"
	"dynctl/state"
)

const renderLong = `Print exactly what documents would run on empty nodes: placement groups, actors
with their command lines and environment, the routing, what is rejected and what
has no room. It needs no server.

NODES.json is [{"id", "ip", "gpus", "cpus", "head", "alive"}], the shape of
"dynctl get nodes -o json". {py}, {RD}, {gpus} and {ip:UNIT/BUNDLE} stand for what
only the Ray side knows; ports are numbers, as if all units shared one node.

Exit code 2: a document is rejected; the others are printed all the same.`

var generationPattern = regexp.MustCompile(`^[0-9a-f]{8}$`)

func (a *app) renderCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "render FILE... --nodes NODES.json",
		Short:   "Print exactly what would run, without a server",
		Long:    renderLong,
		Example: "  dynctl render model.yaml --nodes nodes.json\n  dynctl get nodes -o json > nodes.json",
		Args:    cobra.MinimumNArgs(1),
	}
	nodesFile := cmd.Flags().String("nodes", "", "file of the nodes to place on (required)")
	generation := cmd.Flags().String("generation", "", "8 hex digits that stand for every generation")
	out := outputFlag(cmd, formatJSON, formatYAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *nodesFile == "" {
			return exit.Usagef(`--nodes is required: a file such as [{"id": "n0", "ip": "10.0.0.1", "gpus": 8, "cpus": 64, "head": false, "alive": true}]`)
		}
		if *generation != "" && !generationPattern.MatchString(*generation) {
			return exit.Usagef("--generation: %q is not 8 hex digits, lower case", *generation)
		}
		nodes, err := readNodes(*nodesFile)
		if err != nil {
			return err
		}
		sources, err := a.readSources(cmd.Context(), args)
		if err != nil {
			return err
		}
		r := decodeForRender(sources)
		rendered := offline.Render(offline.Input{Docs: r.docs, Nodes: nodes, Generation: *generation})
		for _, rejected := range rendered.Rejected {
			r.explain(rejected)
		}
		rendered.Rejected = append(rendered.Rejected, r.unreadable...)
		if err := a.encode(out.value, rendered); err != nil {
			return err
		}
		if err := state.JoinFaults(r.told...); err != nil {
			return exit.Usagef("%w", err)
		}
		return nil
	}
	return cmd
}

// renderSources are the documents of files, of which some can be rendered.
type renderSources struct {
	docs       []state.Doc
	unreadable []offline.RenderedRejection
	// told is what a person reads about the rejections, each with its place.
	told []error
}

// decodeForRender reads the documents that can be read; the others are rejections,
// one for each fault, under the key that their metadata name, or else their file.
func decodeForRender(sources []source) *renderSources {
	r := &renderSources{}
	for _, s := range sources {
		each, err := state.DecodeFile(s.name, s.data)
		if err != nil {
			r.reject(s.name, state.ReasonOf(err), err)
			continue
		}
		for d := range each {
			if len(d.Errs) == 0 {
				r.docs = append(r.docs, d.Doc)
				continue
			}
			key := s.name
			if k := d.Doc.Key(); validKey(k) {
				key = k.String()
			}
			for _, err := range d.Errs {
				r.reject(key, state.ReasonOf(err), err)
			}
			for _, invalid := range rulesOfPart(d.Doc) {
				r.reject(key, invalid.Reason, d.Doc.Place(invalid))
			}
		}
	}
	return r
}

func (r *renderSources) reject(key, reason string, err error) {
	r.unreadable = append(r.unreadable, offline.RenderedRejection{Key: key, Reason: reason, Message: err.Error()})
	r.told = append(r.told, err)
}

// explain finds the places of what made a document be rejected: the planner, which
// rejects, does not know files.
func (r *renderSources) explain(rejected offline.RenderedRejection) {
	if len(r.told) >= state.MaxFaults { // the others are only counted
		r.told = append(r.told, errors.New(rejected.Reason))
		return
	}
	d := newDeclared()
	var doc state.Doc
	for _, x := range r.docs {
		d.put(x)
		d.given[x.Key()] = true
		if x.Key().String() == rejected.Key {
			doc = x
		}
	}
	var found []*state.Invalid
	if doc.File != "" {
		found = d.check(doc.Key())
	}
	if len(found) == 0 || found[0].Reason != rejected.Reason {
		r.told = append(r.told, errors.New(rejected.Key+": "+rejected.Message))
		return
	}
	for _, invalid := range found {
		r.told = append(r.told, doc.Place(invalid))
	}
}

// validKey reports whether an object could stand in the store under a key.
func validKey(k state.Key) bool {
	back, err := state.ParseKey(k.String())
	return err == nil && back == k
}

// readNodes reads a list of nodes; one that does not say whether it is alive is.
func readNodes(path string) ([]state.Node, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, exit.Usagef("--nodes: %w", err)
	}
	var list []json.RawMessage
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, exit.Usagef("--nodes: %s: %w", path, prose.JSONError(data, err))
	}
	var nodes []state.Node
	for i, raw := range list {
		n := state.Node{Alive: true}
		if err := json.Unmarshal(raw, &n); err != nil {
			return nil, exit.Usagef("--nodes: %s: node %d: %w", path, i, err)
		}
		if n.ID == "" {
			return nil, exit.Usagef("--nodes: %s: node %d has no id", path, i)
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}
