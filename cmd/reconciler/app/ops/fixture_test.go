package ops

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"dynctl/actors"
	"dynctl/events"
	"dynctl/state"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noon is the time of every fixture.
var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

const store = "store-1"

// chain makes the conditions of a model: all True up to the blocking one, and
// from there on what follows from it.
func chain(blocking, reason, message string) []state.Condition {
	var out []state.Condition
	status := state.StatusTrue
	for _, typ := range []string{
		state.CondAccepted, state.CondScheduled, state.CondWorkersReady, state.CondRegistered,
		state.CondRouterReady, state.CondReady, state.CondAvailable, state.CondUpToDate,
	} {
		c := state.Condition{Type: typ, Status: status, Reason: actors.CondOK, LastTransitionTime: noon.Add(-9 * time.Minute)}
		if typ == blocking {
			status = state.StatusFalse
			c.Status, c.Reason, c.Message = status, reason, message
		} else if status != state.StatusTrue {
			c.Reason, c.Message = reason, message
		}
		if typ == state.CondUpToDate && blocking != state.CondUpToDate {
			c.Status, c.Reason, c.Message = state.StatusTrue, actors.CondOK, ""
		}
		out = append(out, c)
	}
	return out
}

func model(name string, generation string, conditions []state.Condition, roles map[string]state.RoleStatus) state.Status {
	return state.Status{
		Key: "model.default." + name, Kind: state.KindModel, Server: "default", Name: name, ObservedRevision: 41, AcceptedRevision: 41,
		Generation: generation, Conditions: conditions, Roles: roles, Endpoint: "http://10.0.0.4:8000/v1",
	}
}

func unit(id, modelName, role, node, ip string, st state.UnitState, gpus ...string) *state.Unit {
	u := &state.Unit{
		Server: "default", Unit: id, Model: modelName, Role: role, StoreID: store, State: st, Generation: id[:min(8, len(id))], Attempt: 1,
		PlacementGroup: state.PlacementGroup{State: "CREATED", Nodes: []string{node}, Bundles: []state.BundleShape{{CPU: 1, GPU: len(gpus)}}},
		Actors:         []state.Actor{{Name: "dynamo_default_" + id[:min(8, len(id))] + "_Dynamo_DP0", State: st, Node: node, IP: ip, GPUs: gpus, Attempt: 1, ChildPID: 7, Ports: map[string]int{"system": 20300}}},
	}
	u.Replica = int(id[len(id)-1]) & 1 // those of the fixture end in 0 or 1
	return u
}

const crash = `INFO 11-24 11:58:40 [config.py:717] Using max_model_len 32768
INFO 11-24 11:58:44 [model_runner.py:1120] Loading model weights took 14.9 GiB
ERROR 11-24 11:58:51 [engine.py:158] CUDA out of memory. Tried to allocate 3.50 GiB.
Traceback (most recent call last):
  File "vllm/v1/worker/gpu_worker.py", line 231, in determine_available_memory
torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 3.50 GiB. <GPU 5> has 1.12 GiB free.`

// nextAttempt is when the model that fails is executed again; noon moves in a browser.
func nextAttempt() time.Time { return noon.Add(42 * time.Second) }

// fixture is a server with a model in each of the states that people ask about.
func fixture() Input {
	free := 1.0
	none := 0.0
	return Input{
		Now: noon, ID: "ops-1", Version: "v0.1.0", NATSURL: "nats://10.0.0.3:4322", StoreID: store, Loaded: true, Observed: true,
		Leader:   Leader{Known: true, Mine: true, Holder: "ops-1", Epoch: 4, Since: noon.Add(-26 * time.Hour)},
		Agent:    &state.Agent{Incarnation: 2, NodeIP: "10.0.0.4", Synced: true, At: noon},
		Statuses: fixtureStatuses(),
		Specs: map[string]Spec{
			"model.default.qwen3-32b": {"Qwen/Qwen3-32B", "vllm", "disagg", 1}, "model.default.llama-70b": {"meta-llama/Llama-3.3-70B-Instruct", "vllm", "aggregated", 4},
			"model.default.mixtral-8x22b": {"mistralai/Mixtral-8x22B-Instruct-v0.1", "sglang", "aggregated", 4}, "model.default.phi-4": {"microsoft/phi-4", "vllm", "aggregated", 1},
			"model.default.whisper-v3": {"openai/whisper-large-v3", "vllm", "aggregated", 1},
		},
		Units: fixtureUnits(),
		Nodes: []state.Node{
			{ID: "node-head", IP: "10.0.0.4", CPUs: 16, Head: true, Alive: true},
			{ID: "node-gpu-1", IP: "10.0.0.5", GPUs: 8, CPUs: 96, Alive: true, FreeGPUs: &free},
			{ID: "node-gpu-2", IP: "10.0.0.6", GPUs: 2, CPUs: 32, Alive: true, FreeGPUs: &none},
		},
		Waits: []actors.Wait{
			{Key: state.UnitKey{Server: "default", Unit: "5e6f7a8b_llama_70b_DP0"}, Model: "llama-70b", Reason: actors.WaitBackOff, Message: "code 1, attempt 4", Until: nextAttempt()},
			{Key: state.UnitKey{Server: "default", Unit: "9c0d1e2f_mixtral_8x22b_DP0"}, Model: "mixtral-8x22b", Reason: actors.ReasonInsufficientGPUs, Message: "4 GPUs are needed on one node, 1 is free"},
		},
		Orphans: []actors.Orphan{{Key: state.UnitKey{Server: "default", Unit: "deadbeef_gemma_DP0"}, Reason: actors.ReasonOrphan, Message: "no accepted spec asks for it"}},
	}
}

func fixtureStatuses() []*state.Status {
	until := nextAttempt()
	auto := state.RouterStatus{Mode: "kv", KVEvents: true, Source: "auto", Because: "model qwen3-32b is disaggregated, and kv routing is what pairs its prefill with its decode"}
	server := state.Status{
		Key: "server.default", Kind: state.KindServer, Server: "default", ObservedRevision: 3, AcceptedRevision: 3, Generation: "00c0ffee",
		Endpoint: "http://10.0.0.4:8000/v1", Router: &auto, Conditions: chain("", "", ""), Placements: []state.PlacementStatus{{Unit: "infra", State: "Ready"}},
	}
	qwen := model("qwen3-32b", "1a2b3c4d", chain("", "", ""), map[string]state.RoleStatus{
		"decode": {Desired: 1, Running: 1, Ready: 1, Updated: 1}, "prefill": {Desired: 1, Running: 1, Ready: 1, Updated: 1},
	})
	qwen.Placements = []state.PlacementStatus{{Unit: "1a2b3c4d_qwen_qwen3_32b_decode_0", State: "Ready"}, {Unit: "1a2b3c4d_qwen_qwen3_32b_prefill_0", State: "Ready"}}
	qwen.Router = &auto
	llama := model("llama-70b", "5e6f7a8b", chain(state.CondWorkersReady, actors.WaitBackOff, "0 of 1 worker is healthy: code 1, attempt 4"), map[string]state.RoleStatus{
		"aggregated": {Desired: 1, Updated: 1, Restarts: 3, BackoffUntil: &until, LastExit: &state.ExitStatus{
			Unit: "5e6f7a8b_llama_70b_DP0", Code: 1, Reason: "Exited", LogTail: crash, At: noon.Add(-69 * time.Second),
		}},
	})
	mix := model("mixtral-8x22b", "9c0d1e2f", chain(state.CondScheduled, actors.ReasonInsufficientGPUs, "1 worker needs 4 GPUs on one node; 1 is free"), map[string]state.RoleStatus{"aggregated": {Desired: 1}})
	roll := model("phi-4", "77aa88bb", chain(state.CondUpToDate, actors.CondRolling, "1 unit of an old generation is left"), map[string]state.RoleStatus{"aggregated": {Desired: 2, Running: 2, Ready: 2, Updated: 1}})
	roll.Conditions[0].Reason = actors.CondWarnings
	roll.Conditions[0].Message = "spec.env.VLLM_ENGINE_READY_TIMEOUT_S: vllm gives up after these 600 seconds, before startupTimeout (30m) is over\nspec.router.kvEvents: nothing reads them"
	roll.Placements = []state.PlacementStatus{{Unit: "66aa88bb_phi_4_DP1", State: "Ready"}}
	off := model("whisper-v3", "31415926", chain(state.CondWorkersReady, actors.CondSuspended, "spec.suspend is true"), map[string]state.RoleStatus{"aggregated": {}})
	off.Conditions = append(off.Conditions, state.Condition{Type: state.CondSuspended, Status: state.StatusTrue, Reason: actors.CondSuspended, Message: "`dynctl resume model/whisper-v3` starts it again", LastTransitionTime: noon.Add(-3 * time.Hour)})
	return []*state.Status{&server, &llama, &mix, &roll, &qwen, &off}
}

func fixtureUnits() []*state.Unit {
	infra := unit("infra", "", "", "node-head", "10.0.0.4", state.UnitRunning)
	infra.Generation, infra.Actors[0].Ports = "00c0ffee", map[string]int{"etcd": 2379}
	infra.Actors = append(infra.Actors, infra.Actors[0], infra.Actors[0])
	for i, label := range []string{"ETCD", "NATS", "Frontend"} {
		infra.Actors[i].Name = "dynamo_default_00c0ffee_Dynamo_" + label
	}
	infra.Actors[1].Ports, infra.Actors[2].Ports = map[string]int{"nats": 4222}, map[string]int{"http": 8000}
	exited := unit("5e6f7a8b_llama_70b_DP0", "llama-70b", "", "node-gpu-1", "10.0.0.5", state.UnitExited, "2", "3", "4", "5")
	exited.Actors[0].Attempt = 4
	exited.Actors[0].Exit = &state.Exit{Attempt: 4, Code: 1, Reason: "Exited", At: noon.Add(-69 * time.Second)}
	return []*state.Unit{
		infra,
		unit("1a2b3c4d_qwen_qwen3_32b_decode_0", "qwen3-32b", "decode", "node-gpu-1", "10.0.0.5", state.UnitRunning, "0"),
		unit("1a2b3c4d_qwen_qwen3_32b_prefill_0", "qwen3-32b", "prefill", "node-gpu-1", "10.0.0.5", state.UnitRunning, "1"),
		exited,
		unit("66aa88bb_phi_4_DP1", "phi-4", "", "node-gpu-1", "10.0.0.5", state.UnitRunning, "6"),
		unit("77aa88bb_phi_4_DP0", "phi-4", "", "node-gpu-2", "10.0.0.6", state.UnitRunning, "0"),
	}
}

// happening is one event of the fixture's timeline.
func happening(n int, typ, modelName, object, reason, message string) events.Event {
	return events.Event{
		ID: fmt.Sprint(n), Type: typ, Object: object, Time: noon.Add(time.Duration(n) * 7 * time.Second).Add(-3 * time.Minute), Sequence: uint64(n),
		Data: events.Data{Server: "default", Model: modelName, Unit: object, Reason: reason, Message: message},
	}
}

func story() []events.Event {
	return []events.Event{
		happening(1, events.TypeSpecAccepted, "phi-4", "phi-4", "OK", "revision 41"),
		happening(2, events.TypeRolloutStarted, "phi-4", "phi-4", "RollingOut", "2 units of old generations are left"),
		happening(3, events.TypeStart, "phi-4", "77aa88bb_phi_4_DP0", "RollNew", ""),
		happening(4, events.TypePlacementCreated, "phi-4", "77aa88bb_phi_4_DP0", "Created", "on 10.0.0.6"),
		happening(5, events.TypeUnitStarted, "phi-4", "77aa88bb_phi_4_DP0", "Executed", "attempt 1"),
		happening(6, events.TypeUnitExited, "llama-70b", "5e6f7a8b_llama_70b_DP0", "Exited", "code 1, attempt 4: torch.OutOfMemoryError: CUDA out of memory"),
		happening(7, events.TypeUnitBackoff, "llama-70b", "5e6f7a8b_llama_70b_DP0", "CrashLoopBackOff", "code 1; next attempt at 12:00:42.000"),
		happening(8, events.TypeUnitReady, "phi-4", "77aa88bb_phi_4_DP0", "OK", "registered, and listed by the frontend"),
		happening(9, events.TypeStop, "phi-4", "66aa88bb_phi_4_DP0", "RollOld", ""),
	}
}

// source is an input that tests change.
type source struct {
	mu sync.Mutex
	in Input
}

func (s *source) get() Input {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.in
}

func (s *source) set(in Input) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.in = in
}

// newTestPage is a page of the fixture, and what to change it by.
func newTestPage(t *testing.T) (*Page, *source) {
	src := &source{in: fixture()}
	p := New(src.get, slog.New(slog.NewTextHandler(t.Output(), nil)))
	for _, e := range story() {
		p.Timeline.Add(e)
	}
	return p, src
}

// healed is the fixture with the failing model serving.
func healed() Input {
	in := fixture()
	for i, s := range in.Statuses {
		if s.Name == "llama-70b" {
			in.Statuses[i].Conditions = chain("", "", "")
			in.Statuses[i].Roles = map[string]state.RoleStatus{"aggregated": {Desired: 1, Running: 1, Ready: 1, Updated: 1, Restarts: 4}}
		}
	}
	return in
}

// squeeze makes one line of HTML out of many.
func squeeze(s string) string { return strings.Join(strings.Fields(s), " ") }
