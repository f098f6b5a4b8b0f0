package main

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"dynctl/cmd/internal/dgd"
	"dynctl/state"
)

const convertLong = `Print the specs that ask for what another tool's configuration asks for.

NeMo Curator's flat Dynamo configuration: a document is one model
(model_identifier, model_name, num_replicas, mode, engine_kwargs, dynamo_kwargs,
prefill, decode, kv_events_config, kv_transfer_config, runtime_env), a list of
models, or a whole server: models, server (name, port, health_check_timeout_s) and
backend (namespace, request_plane, event_plane, etcd_endpoint, nats_url,
subprocess_env, runtime_env, router); router_mode, router_kv_events and
router_kwargs may stand flat. The kwargs may be mappings or lists of pairs.

A DynamoGraphDeployment of Dynamo's Kubernetes operator (v1alpha1 and v1beta1): the
frontend becomes the Server, named like the deployment; each component that runs
dynamo.vllm, dynamo.sglang, dynamo.trtllm or dynamo.mocker becomes a Model, and a
prefill and a decode component of one model a disaggregated one, with arguments,
GPUs and environment. Of a ConfigMap in the same file the values that variables
refer to are written out, and so are files of arguments (--config of sglang,
--extra-engine-args of trtllm).

What has no counterpart is told on stderr; nothing is written to the store. What is
wrong is told with its file, line and field.`

func (a *app) convertCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "convert FILE...",
		Short:   "Turn what Curator or Dynamo's operator is given into specs",
		Long:    convertLong,
		Example: "  dynctl convert curator.yaml\n  dynctl convert graph.yaml | dynctl set -",
		Args:    cobra.MinimumNArgs(1),
	}
	out := outputFlag(cmd, formatYAML, formatJSON)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		sources, err := a.readSources(cmd.Context(), args)
		if err != nil {
			return err
		}
		c := curatorSpecs{names: map[string]bool{}}
		err = c.readAll(sources)
		c.unheeded()
		for _, note := range c.notes {
			fmt.Fprintln(a.err, "note:", note)
		}
		if err != nil {
			return err
		}
		converted := c.converted()
		if len(converted) == 0 {
			return usageErr("nothing to convert in %s: want a Curator model (model_identifier, ...), a list of models, models with server and backend, or a %s",
				sourceNames(sources), dgd.Kind)
		}
		docs, err := documents(converted)
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

// converted is one object, and where each field of its spec was found.
type converted struct {
	object any
	at     func(path string) place
}

// documents are the specs as JSON, checked as set would on an empty store. What is
// wrong is told at the places that they were made from.
func documents(all []converted) ([]json.RawMessage, error) {
	var docs []json.RawMessage
	var decoded []state.Doc
	d := newDeclared()
	for _, c := range all {
		doc, err := json.Marshal(c.object)
		if err != nil {
			return nil, fmt.Errorf("encode spec: %w", err)
		}
		found, err := state.Decode("converted", doc)
		if err != nil {
			return nil, usageErr("the converted configuration is not valid: %w", err)
		}
		docs = append(docs, doc)
		decoded = append(decoded, found...)
	}
	for _, doc := range decoded {
		d.put(doc)
		d.given[doc.Key()] = true
	}
	var errs []error
	for i, doc := range decoded {
		for _, invalid := range d.check(doc.Key()) {
			errs = append(errs, all[i].at(invalid.Path).errorf("%s: %w", refOf(doc.Key()), invalid))
		}
	}
	if err := state.JoinFaults(errs...); err != nil {
		return nil, usageErr("%w", err)
	}
	return docs, nil
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
	graphs   []converted
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

// converted are the objects, each server before its models.
func (c *curatorSpecs) converted() []converted {
	var out []converted
	if c.explicit {
		c.server.APIVersion, c.server.Kind = state.APIVersion, state.KindServer
		if c.server.Metadata.Name == "" {
			c.server.Metadata.Name = state.DefaultServer
		}
		out = append(out, converted{c.server, c.serverAt.curatorField})
	}
	for i, m := range c.models {
		if name := c.server.Metadata.Name; name != "" && name != state.DefaultServer {
			m.Metadata.Server = name
		}
		m.Spec.StartupTimeout = c.timeout
		out = append(out, converted{m, c.modelsAt[i].curatorField})
	}
	return append(out, c.graphs...)
}
