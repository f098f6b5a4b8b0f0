package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"dynctl/actors"
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
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if *nodesFile == "" {
			return usageErr(`--nodes is required: a file such as [{"id": "n0", "ip": "10.0.0.1", "gpus": 8, "cpus": 64, "head": false, "alive": true}]`)
		}
		if *generation != "" && !generationPattern.MatchString(*generation) {
			return usageErr("--generation: %q is not 8 hex digits, lower case", *generation)
		}
		nodes, err := readNodes(*nodesFile)
		if err != nil {
			return err
		}
		sources, err := a.readSources(args)
		if err != nil {
			return err
		}
		docs, unreadable := decodeEach(sources)
		rendered := actors.Offline(actors.OfflineInput{Docs: docs, Nodes: nodes, Generation: *generation})
		rendered.Rejected = append(rendered.Rejected, unreadable...)
		if err := a.encode(out.value, rendered); err != nil {
			return err
		}
		return rejectedErr(rendered.Rejected)
	}
	return cmd
}

// decodeEach reads the documents that can be read; the others are rejections, each
// under its file and line.
func decodeEach(sources []source) ([]state.Doc, []actors.RenderedRejection) {
	var docs []state.Doc
	var rejected []actors.RenderedRejection
	for _, s := range sources {
		found, err := state.Decode(s.name, s.data)
		docs = append(docs, found...)
		for _, err := range leaves(err) {
			rejected = append(rejected, actors.RenderedRejection{Key: s.name, Reason: state.ReasonOf(err), Message: err.Error()})
		}
	}
	return docs, rejected
}

// leaves are the errors that a joined error holds.
func leaves(err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

func rejectedErr(rejected []actors.RenderedRejection) error {
	var lines []string
	for _, r := range rejected {
		line := r.Message
		if !strings.HasPrefix(line, r.Key) {
			line = r.Key + ": " + line
		}
		lines = append(lines, line)
	}
	if len(lines) == 0 {
		return nil
	}
	return usageErr("%s", strings.Join(lines, "\n"))
}

// readNodes reads a list of nodes; one that does not say whether it is alive is.
func readNodes(path string) ([]state.Node, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, usageErr("--nodes: %w", err)
	}
	var list []json.RawMessage
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, usageErr("--nodes: %s: %w", path, describeJSON(data, err))
	}
	var nodes []state.Node
	for i, raw := range list {
		n := state.Node{Alive: true}
		if err := json.Unmarshal(raw, &n); err != nil {
			return nil, usageErr("--nodes: %s: node %d: %w", path, i, err)
		}
		if n.ID == "" {
			return nil, usageErr("--nodes: %s: node %d has no id", path, i)
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

// describeJSON adds the line to an error of syntax.
func describeJSON(data []byte, err error) error {
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return err
	}
	line := 1 + strings.Count(string(data[:syntax.Offset]), "\n")
	return fmt.Errorf("line %d: %w", line, err)
}
