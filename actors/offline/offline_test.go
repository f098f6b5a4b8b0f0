package offline

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dynctl/actors"
	"dynctl/state"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func ptr[T any](v T) *T { return &v }

func args(t *testing.T, text string) state.Args {
	t.Helper()
	var a state.Args
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		t.Fatal(err)
	}
	return a
}

func modelDoc(server, name string, edit func(*state.ModelSpec)) state.Doc {
	m := state.Model{
		APIVersion: state.APIVersion, Kind: state.KindModel,
		Metadata: state.Metadata{Name: name, Server: server},
		Spec:     state.ModelSpec{Model: "org/" + name},
	}
	if edit != nil {
		edit(&m.Spec)
	}
	return state.Doc{Object: state.Object{Model: &m}}
}

func serverDoc(name string, edit func(*state.ServerSpec)) state.Doc {
	s := state.Server{APIVersion: state.APIVersion, Kind: state.KindServer, Metadata: state.Metadata{Name: name}}
	if edit != nil {
		edit(&s.Spec)
	}
	return state.Doc{Object: state.Object{Server: &s}}
}

func gpuNode(id string, gpus int) state.Node {
	return state.Node{ID: id, GPUs: gpus, CPUs: 64, Alive: true}
}

func TestOfflineServers(t *testing.T) {
	docs := []state.Doc{
		serverDoc("b", func(s *state.ServerSpec) {
			s.Etcd.Endpoint, s.Frontend.Port, s.Router.Mode = "http://e:1", 8001, state.RouterRandom
		}),
		serverDoc("lone", func(s *state.ServerSpec) { s.Frontend.Port = 20300 }),
		modelDoc("b", "m", func(m *state.ModelSpec) { m.Mode = state.ModeDisagg }),
		modelDoc("a", "m", func(m *state.ModelSpec) { m.Mode = state.ModeDisagg }),
		modelDoc("none", "bad", func(m *state.ModelSpec) { m.Engine = "other" }),
	}
	got := Render(Input{Docs: docs, Nodes: []state.Node{gpuNode("n", 4)}, Generation: recordedGeneration})
	var names []string
	for _, a := range got.Actors {
		names = append(names, strings.TrimPrefix(a.Name, "dynamo_"))
	}
	want := []string{
		"a_abcd1234_Dynamo_ETCD", "a_abcd1234_Dynamo_NATS",
		"a_abcd1234_Dynamo_decode_DP0_org_m", "a_abcd1234_Dynamo_prefill_DP0_org_m", "a_abcd1234_Dynamo_Frontend",
		"b_abcd1234_Dynamo_NATS",
		"b_abcd1234_Dynamo_decode_DP0_org_m", "b_abcd1234_Dynamo_prefill_DP0_org_m", "b_abcd1234_Dynamo_Frontend",
		"lone_abcd1234_Dynamo_ETCD", "lone_abcd1234_Dynamo_NATS", "lone_abcd1234_Dynamo_Frontend",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
	if len(got.Rejected) != 1 || got.Rejected[0].Key != "model.none.bad" || got.Rejected[0].Reason != state.ReasonUnknownEngine {
		t.Errorf("rejected %v", got.Rejected)
	}
	if got.Router.Mode != state.RouterKV || got.Router.Source != "auto" {
		t.Errorf("the router is that of the first server, got %+v", got.Router)
	}
	env := func(i int, name string) string { return got.Actors[i].Env[name].Value }
	if env(2, "NATS_SERVER") != "nats://{ip:infra/1}:4222" || env(6, "NATS_SERVER") != "nats://{ip:infra/1}:4223" {
		t.Errorf("each server has a NATS of its own: %s, %s", env(2, "NATS_SERVER"), env(6, "NATS_SERVER"))
	}
	if env(6, "ETCD_ENDPOINTS") != "http://e:1" {
		t.Errorf("external etcd: %s", env(6, "ETCD_ENDPOINTS"))
	}
	if env(2, "DYN_SYSTEM_PORT") != "20301" {
		t.Errorf("the system port %s is promised to a frontend", env(2, "DYN_SYSTEM_PORT"))
	}
}

func TestOfflinePending(t *testing.T) {
	wait := func(s *state.ServerSpec) { s.Placement.WaitForNodes = state.True }
	for _, row := range []struct {
		name  string
		docs  []state.Doc
		nodes []state.Node
		want  []RenderedPending
	}{
		{"no room", []state.Doc{modelDoc("", "m", nil)}, []state.Node{{ID: "n", CPUs: 4, Alive: true}},
			[]RenderedPending{{"abcd1234_org_m_DP0", actors.WaitRayWithoutGPUs}}},
		{"no node for infra", []state.Doc{modelDoc("", "m", nil)}, []state.Node{{ID: "n", GPUs: 1, CPUs: 2, Alive: true}},
			[]RenderedPending{{"infra", actors.ReasonInsufficientCPUs}}},
		{"it waits", []state.Doc{serverDoc("default", wait), modelDoc("", "m", nil)}, []state.Node{{ID: "n", CPUs: 4, Alive: true}},
			[]RenderedPending{{"abcd1234_org_m_DP0", actors.ReasonWaitingForNodes}}},
		{"by priority", []state.Doc{modelDoc("", "a", nil), modelDoc("", "b", func(m *state.ModelSpec) { m.Priority = 1 })},
			[]state.Node{gpuNode("n", 1)}, []RenderedPending{{"abcd1234_org_a_DP0", actors.ReasonInsufficientGPUs}}},
		{"a role each before more of one", []state.Doc{modelDoc("", "m", func(m *state.ModelSpec) {
			m.Mode = state.ModeDisagg
			m.Prefill, m.Decode = &state.RoleSpec{}, &state.RoleSpec{Replicas: ptr(2)}
		})}, []state.Node{gpuNode("n", 2)}, []RenderedPending{{"abcd1234_org_m_decode_1", actors.ReasonInsufficientGPUs}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := Render(Input{Docs: row.docs, Nodes: row.nodes, Generation: recordedGeneration})
			if diff := cmp.Diff(row.want, got.Pending); diff != "" {
				t.Error(diff)
			}
			if len(got.Rejected) > 0 {
				t.Error(got.Rejected)
			}
		})
	}
}

func drawDocs(t *rapid.T) []state.Doc {
	var docs []state.Doc
	for i := range rapid.IntRange(0, 4).Draw(t, "models") {
		docs = append(docs, modelDoc("default", "m"+strconv.Itoa(i), func(m *state.ModelSpec) {
			m.Engine = rapid.SampledFrom([]string{state.EngineVLLM, state.EngineSGLang, state.EngineTRTLLM, state.EngineMocker}).Draw(t, "engine")
			m.Priority = rapid.IntRange(0, 1).Draw(t, "priority")
			m.Env = state.Env{"B": {Value: "b"}, "A": {Value: "a"}, "C": {Value: "c"}}
			m.Resources.GPUs = ptr(rapid.IntRange(0, 6).Draw(t, "gpus"))
			if rapid.Bool().Draw(t, "disagg") {
				m.Mode = state.ModeDisagg
			} else {
				m.Replicas = ptr(rapid.IntRange(0, 3).Draw(t, "replicas"))
			}
		}))
	}
	return append(docs, serverDoc("default", func(s *state.ServerSpec) {
		s.Frontend.Port = rapid.IntRange(20080, 20110).Draw(t, "port")
		s.Env = state.Env{"Z": {Value: "z"}, "A": {Value: "server"}}
	}))
}

var portNumber = portValue("DYN_SYSTEM_PORT", "VLLM_NIXL_SIDE_CHANNEL_PORT")

// portValue reads ports out of an environment.
func portValue(names ...string) func(RenderedActor) []string {
	return func(a RenderedActor) []string {
		var ports []string
		for _, name := range names {
			if v, ok := a.Env[name]; ok {
				ports = append(ports, v.Value)
			}
		}
		return ports
	}
}

// Property: neither the order of documents nor that of nodes decides anything, the
// input is left as it was, no port is given twice, no node holds more than it has.
func TestOfflineIsPure(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		docs := drawDocs(t)
		var nodes []state.Node
		total := 0
		for i := range rapid.IntRange(0, 3).Draw(t, "nodes") {
			n := gpuNode(strconv.Itoa(i), rapid.IntRange(0, 4).Draw(t, "room"))
			nodes, total = append(nodes, n), total+n.GPUs
		}
		in := Input{Docs: docs, Nodes: nodes}
		var before []state.Object
		for _, d := range docs {
			before = append(before, cloneObject(d.Object))
		}
		got := Render(in)
		for i, d := range docs {
			if diff := cmp.Diff(before[i], d.Object); diff != "" {
				t.Fatalf("a document was changed: %s", diff)
			}
		}
		again := Render(Input{
			Docs:  rapid.Permutation(docs).Draw(t, "order of documents"),
			Nodes: rapid.Permutation(nodes).Draw(t, "order of nodes"),
		})
		if diff := cmp.Diff(got, again); diff != "" {
			t.Fatalf("the order decides: %s", diff)
		}
		if len(got.Rejected) > 0 {
			t.Fatal(got.Rejected)
		}
		held := 0
		for _, g := range got.PlacementGroups {
			for _, b := range g.Bundles {
				held += b.GPU
			}
		}
		if held > total {
			t.Fatalf("%d GPUs of %d are held", held, total)
		}
		var ports []string
		for _, a := range got.Actors {
			ports = append(ports, portNumber(a)...)
			if i := slices.Index(a.Argv, "--http-port"); i >= 0 {
				ports = append(ports, a.Argv[i+1])
			}
		}
		slices.Sort(ports)
		if unique := slices.Compact(slices.Clone(ports)); len(unique) != len(ports) {
			t.Fatalf("a port is given twice: %v", ports)
		}
	})
}

func cloneObject(o state.Object) state.Object {
	if o.Server != nil {
		s := o.Server.Clone()
		o.Server = &s
	}
	if o.Model != nil {
		m := o.Model.Clone()
		o.Model = &m
	}
	return o
}

// What the reconciler would not take is rejected offline as well, whoever decoded it.
func TestOfflineTooLarge(t *testing.T) {
	doc := modelDoc("default", "m", nil)
	doc.Raw = make([]byte, state.MaxValueSize+1)
	got := Render(Input{Docs: []state.Doc{doc, modelDoc("default", "n", nil)}, Nodes: []state.Node{gpuNode("n", 4)}})
	want := []RenderedRejection{{Key: "model.default.m", Reason: state.ReasonTooLarge}}
	for i := range got.Rejected {
		got.Rejected[i].Message = ""
	}
	if diff := cmp.Diff(want, got.Rejected); diff != "" {
		t.Error(diff)
	}
}
