// Package convert turns what other tools are configured with into specs: NeMo Curator's
// flat configuration, and Dynamo's graph deployments.
package convert

import (
	"fmt"

	"dynctl/state"
)

// File is one file that is converted, or standard input.
type File struct {
	Name string // as it was named, for messages
	Data []byte
}

// Result is what files ask for.
type Result struct {
	Objects []Object // each server before its models
	// Notes are what has no counterpart, and what was changed on the way.
	Notes []string
}

// Object is one object, and where each field of its spec was found.
type Object struct {
	Spec any // state.Server or state.Model
	at   func(path string) place
}

// Fault is what is wrong with the object of a name, at the place that it was made from.
func (o Object) Fault(name string, invalid *state.Invalid) error {
	return o.at(invalid.Path).errorf("%s: %w", name, invalid)
}

// Files converts files. An error names its place, as a [state.SpecError] where there is
// one; the notes of what was read before it come with it.
func Files(files []File) (Result, error) {
	c := curatorSpecs{names: map[string]bool{}}
	var err error
	for _, f := range files {
		if err = c.read(f); err != nil {
			break
		}
	}
	c.unheeded()
	if err != nil {
		return Result{Notes: c.notes}, err
	}
	return Result{Objects: c.objects(), Notes: c.notes}, nil
}

// curatorSpecs collects what a Curator configuration asks for, and beside it the
// objects of graph deployments.
type curatorSpecs struct {
	server state.Server
	// explicit: something was said about the server that is not the default.
	explicit bool
	timeout  state.Duration
	models   []state.Model
	// serverAt and modelsAt are where they were found.
	serverAt place
	modelsAt []place
	graphs   []Object
	names    map[string]bool
	notes    []string
}

func (c *curatorSpecs) note(format string, args ...any) {
	c.notes = append(c.notes, fmt.Sprintf(format, args...))
}

// unheeded leaves out what Curator does not heed and dynctl would: kv_events false,
// its default, counts for an explicit mode alone.
func (c *curatorSpecs) unheeded() {
	r := &c.server.Spec.Router
	if r.KVEvents == state.False && (r.Mode == "" || r.Mode == state.RouterAuto) {
		c.note("router: kv_events: false is left out: without a mode Curator does not heed it, and dynctl would")
		r.KVEvents = ""
	}
}

// objects are those that were found, each server before its models.
func (c *curatorSpecs) objects() []Object {
	var out []Object
	if c.explicit {
		c.server.APIVersion, c.server.Kind = state.APIVersion, state.KindServer
		if c.server.Metadata.Name == "" {
			c.server.Metadata.Name = state.DefaultServer
		}
		out = append(out, Object{c.server, c.serverAt.curatorField})
	}
	for i, m := range c.models {
		if name := c.server.Metadata.Name; name != "" && name != state.DefaultServer {
			m.Metadata.Server = name
		}
		m.Spec.StartupTimeout = c.timeout
		out = append(out, Object{m, c.modelsAt[i].curatorField})
	}
	return append(out, c.graphs...)
}
