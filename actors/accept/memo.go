package accept

import (
	"bytes"
	"encoding/json"

	"dynctl/actors"
	"dynctl/state"
	"dynctl/state/engineflags"
	"dynctl/state/policy"
)

// Memo remembers what the stored documents and templates say, so that they are
// decoded when they change and not in every round, and what was concluded of what rests.
// It changes no answer: what is remembered counts only for the same input. The zero value remembers nothing; it
// is for one goroutine, and what it hands out is shared and must not be changed.
type Memo struct {
	objects map[state.Key]remembered
	warned  map[state.Key]warned
	tables  engineflags.Set // that the warnings rest on
	rules   *policy.Policy  // the same
	taught  int             // how often tables and rules have changed

	// What rests (rest.go), what the last call came to (change.go), and who claims what.
	models  map[state.Key]*acceptedModel
	units   unitIndex
	servers map[string]*acceptedServer
	before  before
	kept    map[state.Key]Kept
	there   map[string]*acceptedServer  // all servers of the last round
	listed  []*actors.DesiredModel      // what it came to
	claimed map[string][]*acceptedModel // by server and claim
}

// warned is what is warned of for one accepted revision of an object, and of its
// server.
type warned struct {
	accepted, server uint64
	list             []state.Warning
}

// warnings finds the warnings of an accepted revision of an object once.
func (m *Memo) warnings(k state.Key, accepted, server uint64, find func() []state.Warning) []state.Warning {
	if w, known := m.warned[k]; known && w.accepted == accepted && w.server == server {
		return w.list
	}
	if m.warned == nil {
		m.warned = map[state.Key]warned{}
	}
	w := warned{accepted, server, find()}
	m.warned[k] = w
	return w.list
}

// remembered is what the status of one object was decoded to.
type remembered struct {
	spec, template json.RawMessage
	object         state.Object // with defaults; none where it could not be read
	stored         storedTemplates
}

// read decodes what a status keeps: the accepted document, if there is one that can
// be read, and the template.
func (m *Memo) read(k state.Key, st *state.Status) remembered {
	was, known := m.objects[k]
	if known && bytes.Equal(was.spec, st.AcceptedSpec) && bytes.Equal(was.template, st.Template) {
		was.spec, was.template = st.AcceptedSpec, st.Template // no second copy is kept
		m.objects[k] = was
		return was
	}
	now := decodeKept(st)
	if m.objects == nil {
		m.objects = map[state.Key]remembered{}
	}
	m.objects[k] = now
	return now
}

// forget drops objects that have no status any more, once there are many more of them than
// statuses: nothing is taken from them that does not fit, and what is new has no status yet.
func (m *Memo) forget(statuses map[state.Key]state.Status) {
	if max(len(m.objects), len(m.warned)) <= len(statuses)+len(statuses)/4+64 {
		return
	}
	for k := range m.objects {
		if _, ok := statuses[k]; !ok {
			delete(m.objects, k)
		}
	}
	for k := range m.warned {
		if _, ok := statuses[k]; !ok {
			delete(m.warned, k)
		}
	}
}

func decodeKept(st *state.Status) remembered {
	r := remembered{spec: st.AcceptedSpec, template: st.Template, stored: readStored(st.Template)}
	doc, _ := keptSpec(st)
	switch o := doc.Object; {
	case o.Server != nil:
		r.object.Server = new(o.Server.WithDefaults())
	case o.Model != nil:
		r.object.Model = new(o.Model.WithDefaults())
	}
	return r
}
