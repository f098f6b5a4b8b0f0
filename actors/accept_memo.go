package actors

import (
	"bytes"
	"encoding/json"

	"dynctl/state"
)

// Memo remembers what the stored documents and templates say, so that they are
// decoded when they change and not in every round. It changes no answer: what is
// remembered counts only for the same bytes. The zero value remembers nothing; it
// is for one goroutine, and what it hands out is shared and must not be changed.
type Memo struct {
	objects map[state.Key]remembered
}

// remembered is what the status of one object was decoded to.
type remembered struct {
	spec, template json.RawMessage
	doc            state.Doc
	ok             bool // doc was there and could be read
	stored         Stored
}

// read decodes what a status keeps: the accepted document, if there is one that can
// be read, and the template.
func (m *Memo) read(k state.Key, st *state.Status) remembered {
	if m == nil {
		return decodeKept(st)
	}
	was, known := m.objects[k]
	if known && bytes.Equal(was.spec, st.AcceptedSpec) && bytes.Equal(was.template, st.Template) {
		return was
	}
	now := decodeKept(st)
	if m.objects == nil {
		m.objects = map[state.Key]remembered{}
	}
	m.objects[k] = now
	return now
}

// forget drops objects that have no status any more.
func (m *Memo) forget(statuses map[state.Key]state.Status) {
	if m == nil {
		return
	}
	for k := range m.objects {
		if _, ok := statuses[k]; !ok {
			delete(m.objects, k)
		}
	}
}

func decodeKept(st *state.Status) remembered {
	r := remembered{spec: st.AcceptedSpec, template: st.Template, stored: readStored(st.Template)}
	r.doc, r.ok = keptSpec(st)
	return r
}
