package main

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"dynctl/cmd/dynctl/internal/convert"
	"dynctl/cmd/dynctl/internal/exit"
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
		files := make([]convert.File, len(sources))
		for i, s := range sources {
			files[i] = convert.File{Name: s.name, Data: s.data}
		}
		result, err := convert.Files(files)
		for _, note := range result.Notes {
			fmt.Fprintln(a.err, "note:", note)
		}
		if err != nil {
			return exit.Usagef("%w", err)
		}
		if len(result.Objects) == 0 {
			return exit.Usagef("nothing to convert in %s: want a Curator model (model_identifier, ...), a list of models, models with server and backend, or a %s",
				sourceNames(sources), dgd.Kind)
		}
		docs, err := documents(result.Objects)
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

// documents are the specs as JSON, checked as set would on an empty store. What is
// wrong is told at the places that they were made from.
func documents(all []convert.Object) ([]json.RawMessage, error) {
	var docs []json.RawMessage
	var decoded []state.Doc
	d := newDeclared()
	for _, c := range all {
		doc, err := json.Marshal(c.Spec)
		if err != nil {
			return nil, fmt.Errorf("encode spec: %w", err)
		}
		found, err := state.Decode("converted", doc)
		if err != nil {
			return nil, exit.Usagef("the converted configuration is not valid: %w", err)
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
			errs = append(errs, all[i].Fault(refOf(doc.Key()).String(), invalid))
		}
	}
	if err := state.JoinFaults(errs...); err != nil {
		return nil, exit.Usagef("%w", err)
	}
	return docs, nil
}
