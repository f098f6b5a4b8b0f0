package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"dynctl/state"
)

const convertLong = `Read NeMo Curator's flat Dynamo configuration and print the specs for it.

A document is one model (model_identifier, model_name, num_replicas, mode,
engine_kwargs, dynamo_kwargs, prefill, decode, kv_events_config,
kv_transfer_config, runtime_env), a list of models, or a whole server: models,
server (name, port, health_check_timeout_s) and backend (namespace,
request_plane, event_plane, etcd_endpoint, nats_url, subprocess_env,
runtime_env, router); router_mode, router_kv_events and router_kwargs may stand
flat. The kwargs may be mappings or lists of pairs. What has no counterpart is
told on stderr; nothing is written to the store. What is wrong is told with its
file, line and field.`

func (a *app) convertCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "convert FILE...",
		Short:   "Turn a NeMo Curator configuration into specs",
		Long:    convertLong,
		Example: "  dynctl convert curator.yaml\n  dynctl convert curator.json | dynctl set -",
		Args:    cobra.MinimumNArgs(1),
	}
	out := outputFlag(cmd, formatYAML, formatJSON)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		sources, err := a.readSources(args)
		if err != nil {
			return err
		}
		c := curatorSpecs{names: map[string]bool{}}
		for _, src := range sources {
			if err := c.read(src); err != nil {
				return err
			}
		}
		if !c.explicit && len(c.models) == 0 {
			return usageErr("nothing to convert in %s: want a Curator model (model_identifier, ...), a list of models, or models with server and backend", sourceNames(sources))
		}
		c.unheeded()
		for _, note := range c.notes {
			fmt.Fprintln(a.err, "note:", note)
		}
		docs, err := c.documents()
		if err != nil {
			return err
		}
		return a.writeDocuments(out.value, docs)
	}
	return cmd
}

// writeDocuments prints specs in a form that set reads: a YAML stream, or one
// JSON document a line.
func (a *app) writeDocuments(f string, docs []json.RawMessage) error {
	for i, doc := range docs {
		if f == formatJSON {
			fmt.Fprintf(a.out, "%s\n", doc)
			continue
		}
		text, err := jsonToYAML(doc)
		if err != nil {
			return fmt.Errorf("encode spec: %w", err)
		}
		if i > 0 {
			fmt.Fprintln(a.out, "---")
		}
		fmt.Fprintf(a.out, "%s\n", bytes.TrimSpace(text))
	}
	return nil
}

// curatorSpecs collects what a Curator configuration asks for.
type curatorSpecs struct {
	server state.Server
	// explicit: something was said about the server that is not the default.
	explicit bool
	timeout  state.Duration
	models   []state.Model
	// serverAt and modelsAt are where they were found.
	serverAt place
	modelsAt []place
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

// documents are the specs, the server first.
func (c *curatorSpecs) documents() ([]json.RawMessage, error) {
	var objects []any
	if c.explicit {
		c.server.APIVersion, c.server.Kind = state.APIVersion, state.KindServer
		if c.server.Metadata.Name == "" {
			c.server.Metadata.Name = state.DefaultServer
		}
		objects = append(objects, c.server)
	}
	for _, m := range c.models {
		if name := c.server.Metadata.Name; name != "" && name != state.DefaultServer {
			m.Metadata.Server = name
		}
		m.Spec.StartupTimeout = c.timeout
		objects = append(objects, m)
	}
	var docs []json.RawMessage
	for _, o := range objects {
		doc, err := json.Marshal(o)
		if err != nil {
			return nil, fmt.Errorf("encode spec: %w", err)
		}
		docs = append(docs, doc)
	}
	return docs, c.validate(docs)
}

// validate checks the specs as set would on an empty store, and tells what is wrong
// at the places that they were made from.
func (c *curatorSpecs) validate(docs []json.RawMessage) error {
	d := newDeclared()
	var decoded []state.Doc
	for _, doc := range docs {
		found, err := state.Decode("converted", doc)
		if err != nil {
			return usageErr("the converted configuration is not valid: %w", err)
		}
		decoded = append(decoded, found...)
	}
	for _, doc := range decoded {
		d.put(doc)
		d.given[doc.Key()] = true
	}
	var errs []error
	for i, doc := range decoded {
		at := c.serverAt
		if n := i - (len(decoded) - len(c.models)); n >= 0 {
			at = c.modelsAt[n]
		}
		for _, invalid := range d.check(doc.Key()) {
			errs = append(errs, at.curatorField(invalid.Path).errorf("%s: %w", refOf(doc.Key()), invalid))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return usageErr("%w", err)
	}
	return nil
}
