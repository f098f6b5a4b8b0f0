package offline

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"dynctl/actors"
	"dynctl/actors/place"
	"dynctl/actors/render"
	"dynctl/state"
)

type workersInput struct {
	Model        curatorModel
	Nodes        []curatorNode
	RouterMode   *string           `json:"router_mode"`
	KVEvents     bool              `json:"router_kv_events"`
	IgnoreHead   *string           `json:"ignore_head_env"`
	Offset       int               `json:"worker_index_offset"`
	BaseEnv      map[string]string `json:"base_env"`
	Namespace    string
	RequestPlane string              `json:"request_plane"`
	EventPlane   string              `json:"event_plane"`
	RuntimeDir   string              `json:"runtime_dir"`
	Busy         map[string][]int    `json:"busy_ports"`
	Fail         []map[string]string `json:"fail"`
}

func TestVectorsWorkerAggregated(t *testing.T) { forVectors(t, "worker_aggregated", checkWorkers) }

func TestVectorsWorkerDisagg(t *testing.T) { forVectors(t, "worker_disagg", checkWorkers) }

func checkWorkers(t *testing.T, v vector, in workersInput) {
	backend := curatorBackend{
		Namespace: in.Namespace, RequestPlane: in.RequestPlane, EventPlane: in.EventPlane,
		EtcdEndpoint: in.BaseEnv["ETCD_ENDPOINTS"], NATSURL: in.BaseEnv["NATS_SERVER"], SubprocessEnv: in.BaseEnv,
		Router: curatorRouter{Mode: in.RouterMode, KVEvents: &in.KVEvents},
	}
	server := backend.server("default", 0, state.ApplyFrontend)
	exclude := ignoreHead(in.IgnoreHead)
	server.Spec.Placement.ExcludeHeadNode = &exclude
	model := in.Model.model()
	if in.Model.Mode != "" && in.Model.Mode != state.ModeAggregated && in.Model.Mode != state.ModeDisagg {
		// FIX: the anchor takes an unknown mode for aggregated.
		if bad := state.ValidateModel(model, server.Spec); len(bad) == 0 || bad[0].Reason != state.ReasonUnknownMode {
			t.Errorf("mode %q is accepted: %v", in.Model.Mode, bad)
		}
		return
	}
	m := render.ModelInput{Server: "default", ServerSpec: server.Spec, Model: "m", Spec: model.Spec}
	got, generation, reason := renderWorkers(m, in)
	if reason == state.ReasonHybridCacheConflict {
		// Contract 6: such a spec is rejected. The record shows what runs all the same
		// where KV events are automatic.
		m.ServerSpec.Router.KVEvents = state.Auto
		got, generation, reason = renderWorkers(m, in)
	}
	record := recorded(v.Want.Ops).worthy()
	if overridesGPUs(t, model.Spec) {
		// FIX: the anchor counts tensor parallelism alone.
		checkGPUs(t, got, reason, model.Spec)
		return
	}
	if want := wantReason(t, v); want != reason {
		t.Fatalf("got reason %q, want %q", reason, want)
	}
	if reason != "" {
		return
	}
	want := applyRules(record, caseContext{
		server: "default", generations: map[string]string{state.Slug(in.Model.servedName()): generation},
		models: []curatorModel{in.Model}, apply: state.ApplyFrontend, routerMode: server.Spec.Router.Mode,
		runtimeDir: in.RuntimeDir, external: true, firstSystem: seedSystem, book: freshBook(in.Busy),
	})
	for _, a := range want.Actors {
		alwaysAddressed(a, server.Spec)
		if own, ok := in.BaseEnv["FLASHINFER_WORKSPACE_BASE"]; ok {
			a.Env["FLASHINFER_WORKSPACE_BASE"] = own // FIX: a given one counts
		}
	}
	if len(in.Fail) > 0 {
		got, want = cutTo(got, want), cutTo(want, got)
	}
	sameWorld(t, got, want)
}

func freshBook(busy map[string][]int) *portBook {
	book := newPortBook(nil).server()
	for _, port := range slices.Concat(slices.Collect(maps.Values(busy))...) {
		book.taken[port] = true
	}
	return book
}

// renderWorkers renders every worker of a model, each on nodes that are empty: the
// anchor plans once per model from totals (FIX).
func renderWorkers(m render.ModelInput, in workersInput) (w *world, generation, reason string) {
	template, invalid := render.Model(m)
	if invalid != nil {
		return nil, "", invalid.Reason
	}
	var out Rendered
	book := freshBook(in.Busy)
	book.given["infra/etcd"], book.given["infra/nats"] = seedEtcd, seedNATS
	worker := in.Offset
	for _, role := range template.Roles {
		for index := range m.Spec.RoleReplicas(role.Role) {
			shape, unfit := place.Worker(role.Needs, rooms(in.Nodes))
			if unfit != nil {
				return nil, template.Generation, unfit.Reason
			}
			u := render.Worker(template, render.WorkerInput{Role: role, Index: index, Worker: worker, Shape: shape})
			worker++
			book.give(u)
			book.actors(&out, u, u.Actors)
			g := u.PlacementGroup
			out.PlacementGroups = append(out.PlacementGroups, RenderedGroup{Name: g.Name, Strategy: g.Strategy, Bundles: g.Bundles, Selector: g.Selector})
		}
	}
	return worldOf(out), template.Generation, ""
}

// overridesGPUs reports whether a worker has other GPUs than its tensor parallel size.
func overridesGPUs(t *testing.T, spec state.ModelSpec) bool {
	t.Helper()
	for _, role := range spec.Roles() {
		tp, _, _, err := spec.ParallelSizes(role)
		gpus, _ := spec.GPUsPerWorker(role)
		if err == nil && gpus != tp {
			return true
		}
	}
	return false
}

func checkGPUs(t *testing.T, got *world, reason string, spec state.ModelSpec) {
	t.Helper()
	for _, role := range spec.Roles() {
		tp, pp, dp, _ := spec.ParallelSizes(role)
		if gpus, _ := spec.GPUsPerWorker(role); gpus != tp*pp*dp {
			t.Errorf("role %q has %d GPUs, want %d*%d*%d", role, gpus, tp, pp, dp)
		}
	}
	if (got == nil) != (reason == actors.ReasonTPDoesNotFit) {
		t.Errorf("rendered %v, reason %q", got, reason)
	}
}

type deployInput struct {
	Server struct {
		Name string
		Port int
	}
	Backend    curatorBackend
	Models     []curatorModel
	Nodes      []curatorNode
	IgnoreHead *string `json:"ignore_head_env"`
}

func TestVectorsDeploy(t *testing.T) {
	for _, apply := range []string{state.ApplyFrontend, state.ApplyModel} {
		t.Run(apply, func(t *testing.T) {
			forVectors(t, "deploy", func(t *testing.T, v vector, in deployInput) { checkDeploy(t, v, in, apply) })
		})
	}
}

func checkDeploy(t *testing.T, v vector, in deployInput, apply string) {
	if in.Server.Name == "" {
		in.Server.Name = state.DefaultServer
	}
	server := in.Backend.server(in.Server.Name, in.Server.Port, apply)
	exclude := ignoreHead(in.IgnoreHead)
	server.Spec.Placement.ExcludeHeadNode = &exclude
	docs := []state.Doc{{Object: state.Object{Server: &server}}}
	generations := map[string]string{}
	for _, m := range in.Models {
		model := m.model()
		model.Metadata.Server = in.Server.Name
		docs = append(docs, state.Doc{Object: state.Object{Model: &model}})
		generations[state.Slug(m.servedName())] = recordedGeneration
	}
	got := Render(Input{Docs: docs, Nodes: stateNodes(in.Nodes), Generation: recordedGeneration})
	if bad := state.ValidateServer(server); len(bad) > 0 {
		// FIX: the anchor takes any server name, and kv_events without the mode kv.
		if len(got.Rejected) == 0 || got.Rejected[0].Reason != bad[0].Reason {
			t.Errorf("rejected %v, want %s", got.Rejected, bad[0].Reason)
		}
		return
	}
	if want := wantReason(t, v); want != "" {
		if len(got.Pending) == 0 && len(got.Rejected) == 0 {
			t.Errorf("all of it runs, want %s", want)
		}
		return
	}
	if len(got.Rejected)+len(got.Pending) > 0 {
		t.Fatalf("rejected %v, pending %v", got.Rejected, got.Pending)
	}
	want := applyRules(recorded(v.Want.Ops).worthy(), caseContext{
		server: in.Server.Name, infra: recordedGeneration, generations: generations, models: in.Models, apply: apply,
		routerMode: server.Spec.Router.Mode, runtimeDir: "/tmp/ray/session_test/nemo_curator_dynamo_" + recordedGeneration,
		firstSystem: seedSystem, book: newPortBook(nil).server(),
	})
	sameWorld(t, worldOf(got), want)
	if !strings.HasPrefix(got.Actors[len(got.Actors)-1].Name, actors.Prefix(in.Server.Name, recordedGeneration)) {
		t.Errorf("the last actor is %s", got.Actors[len(got.Actors)-1].Name)
	}
}
