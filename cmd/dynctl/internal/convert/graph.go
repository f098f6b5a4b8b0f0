package convert

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"dynctl/cmd/internal/dgd"
	"dynctl/state"
)

// resourceKind is what a document of Kubernetes' or of our own form says of itself.
type resourceKind struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name string `json:"name"`
	} `json:"metadata"`
}

// kindOf is empty where a document says nothing of the kind.
func kindOf(raw json.RawMessage) resourceKind {
	var k resourceKind
	if json.Unmarshal(raw, &k) != nil {
		return resourceKind{}
	}
	return k
}

func whyNotConverted(k resourceKind) string {
	if group, _, _ := strings.Cut(state.APIVersion, "/"); k.APIVersion == "" || strings.HasPrefix(k.APIVersion, group+"/") {
		return "this is a dynctl spec already: give it to `dynctl set`"
	}
	return fmt.Sprintf("a %s of %s cannot be converted; want NeMo Curator's configuration or a %s", k.Kind, k.APIVersion, dgd.Kind)
}

// graphFile takes in a file that holds a graph deployment, and the ConfigMaps beside it.
func (c *curatorSpecs) graphFile(docs []state.Doc) error {
	configs := dgd.ConfigMaps{}
	for _, doc := range docs {
		if kind := kindOf(doc.Raw); kind.Kind == dgd.KindConfigMap {
			configs.Add(kind.Metadata.Name, doc.Raw)
		}
	}
	for _, doc := range docs {
		if err := c.graphDocument(doc, configs); err != nil {
			return err
		}
	}
	for _, doc := range docs {
		kind := kindOf(doc.Raw)
		if kind.Kind != dgd.KindConfigMap {
			continue
		}
		switch keys, used := configs.Unused(kind.Metadata.Name); {
		case !used:
			c.note("%s:%d: left out: the ConfigMap %s", doc.File, doc.Line, kind.Metadata.Name)
		case len(keys) > 0:
			c.note("%s:%d: left out of the ConfigMap %s, for nothing that was read refers to them: %s", doc.File, doc.Line, kind.Metadata.Name, strings.Join(keys, ", "))
		}
	}
	return nil
}

// graphDocument takes in a document of a file that holds a graph deployment. What
// stands beside it, such as a ConfigMap, is named and left out.
func (c *curatorSpecs) graphDocument(doc state.Doc, configs dgd.ConfigMaps) error {
	at := place{doc: doc}
	kind := kindOf(doc.Raw)
	if kind.Kind == dgd.KindConfigMap {
		return nil // told once the deployments are read
	}
	if kind.Kind != dgd.Kind {
		what := "a document that is no " + dgd.Kind
		if kind.Kind != "" {
			what = strings.TrimSpace("the " + kind.Kind + " " + kind.Metadata.Name)
		}
		c.note("%s:%d: left out: %s", doc.File, doc.Line, what)
		return nil
	}
	result, err := dgd.Convert(doc.Raw, configs)
	c.notes = append(c.notes, result.Notes...)
	if err != nil {
		var wrong *dgd.Error
		if errors.As(err, &wrong) {
			at = at.at(wrong.Path)
		}
		return at.errorf("%w", err)
	}
	server := result.Server
	server.Metadata.Name = objectName(kind.Metadata.Name, "-")
	if server.Metadata.Name == "" {
		server.Metadata.Name = state.DefaultServer
	}
	c.graphs = append(c.graphs, Object{server, func(string) place { return at }})
	for _, m := range result.Models {
		m.Metadata.Name = c.uniqueName(m.Spec.ServedNameOrModel())
		m.Metadata.Server = server.Metadata.Name
		c.graphs = append(c.graphs, Object{m.Model, func(string) place { return at.at(m.Path) }})
	}
	return nil
}

// at is a path of the document as it stands.
func (p place) at(path string) place { return place{p.doc, path, path} }
