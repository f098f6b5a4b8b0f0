package docs_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dynctl/actors"
	"dynctl/actors/accept"
	"dynctl/actors/plan"
	"dynctl/events"
	"dynctl/state"
	"dynctl/state/kv"
	"dynctl/state/kv/natsd/natsdtest"
)

// standIn answers dynctl as a reconciler and an agent would: it plans with the
// planner itself and carries everything out at once. So the pages' commands meet
// a store in which things happen, without Ray. What really runs is the matter of
// integration/.
type standIn struct {
	url      string
	client   *kv.Client
	views    *kv.Views
	observed jetstream.KeyValue
	frontend *net.TCPAddr
	leases   int64
	suspects map[state.UnitKey]time.Time
}

const standInSession = "session_2026-11-24_04-05-55_664554_26845"

// startStandIn starts a NATS and a stand-in of its own for a test.
func startStandIn(t *testing.T) *standIn {
	t.Helper()
	server := natsdtest.Start(t)
	ctx, cancel := context.WithCancel(context.Background())
	client, err := kv.Connect(ctx, server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if err := events.EnsureStream(ctx, client.JetStream()); err != nil {
		t.Fatal(err)
	}
	kicks := make(chan struct{}, 1)
	views, err := kv.Watch(ctx, client.JetStream(), func() {
		select {
		case kicks <- struct{}{}:
		default:
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &standIn{url: server.URL(), client: client, views: views, frontend: startFrontend(t)}
	if s.observed, err = client.JetStream().KeyValue(ctx, kv.BucketObserved); err != nil {
		t.Fatal(err)
	}
	s.put(ctx, t, "node.n0", state.Node{ID: "n0", IP: "10.0.0.1", GPUs: 8, CPUs: 32, Alive: true, Head: true})
	lease := []byte(`{"holder": "r1", "epoch": 1, "since": "2026-11-24T00:00:00Z"}`)
	if _, err := client.JetStream().Publish(ctx, "$KV."+kv.BucketLease+".leader", lease, jetstream.WithMsgTTL(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := answerLogs(client.JetStream().Conn()); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.run(ctx, t, kicks)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		views.Close()
	})
	return s
}

// startFrontend answers as Dynamo's frontend does, as far as dynctl asks.
func startFrontend(t *testing.T) *net.TCPAddr {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			_, _ = fmt.Fprint(w, "data: {\"choices\":[{\"delta\":{\"content\":\"Hello.\"}}]}\n\ndata: [DONE]\n\n")
			return
		}
		_, _ = fmt.Fprint(w, `{"object": "list", "data": []}`)
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().(*net.TCPAddr)
}

// answerLogs answers for every log as an agent does (docs/protocol.md, "Logs").
func answerLogs(conn *nats.Conn) error {
	_, err := conn.Subscribe("dynctl.agent.logs", func(m *nats.Msg) {
		_ = m.Respond([]byte(`{"attempt": 1, "offset": 6, "file": 1, "text": "ready\n"}`))
	})
	return err
}

func (s *standIn) put(ctx context.Context, t *testing.T, key string, value any) {
	b, err := json.Marshal(value)
	if err == nil {
		_, err = s.observed.Put(ctx, key, b)
	}
	if err != nil && ctx.Err() == nil {
		t.Error(err)
	}
}

func (s *standIn) run(ctx context.Context, t *testing.T, kicks <-chan struct{}) {
	for {
		s.put(ctx, t, "agent", state.Agent{Incarnation: 1, StoreID: s.views.StoreID(), Session: standInSession, Synced: true, Epoch: 1, NodeIP: "10.0.0.1"})
		for range 10 {
			s.round(ctx, t)
			select {
			case <-ctx.Done():
				return
			case <-kicks:
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
}

// round is one round of the reconciler, and the agent's work right after it.
func (s *standIn) round(ctx context.Context, t *testing.T) {
	in, kept := s.input()
	r := plan.Plan(in)
	s.suspects = r.Suspects
	for _, start := range r.Starts {
		s.start(ctx, t, start)
	}
	for _, stop := range r.Stops {
		s.remove(ctx, t, stop.Key)
	}
	for _, u := range in.Observed.Units { // sweeps that dynctl asked for
		if strings.HasPrefix(u.Unit, "00000000_") && s.swept(ctx, u.Key()) {
			s.remove(ctx, t, u.Key())
		}
	}
	statuses, _ := s.views.Statuses()
	for _, st := range r.Statuses {
		key, err := state.ParseKey(st.Key)
		if err != nil {
			t.Error(err)
			continue
		}
		st.AcceptedSpec, st.Template = kept[key].Spec, kept[key].Template
		old := statuses[st.Key]
		if was, now := asText(old), asText(st); was != now {
			_, _ = s.client.PutStatus(ctx, st) // a conflict: the next round is better informed
		}
	}
	for _, key := range r.Gone {
		_ = s.client.DeleteStatus(ctx, key)
	}
}

func asText(st state.Status) string {
	st.Revision = 0
	b, _ := json.Marshal(st)
	return string(b)
}

func (s *standIn) input() (actors.Input, map[state.Key]accept.Kept) {
	specs := s.views.Specs()
	views, loaded := s.views.Statuses()
	statuses := map[state.Key]state.Status{}
	for k, st := range views {
		if key, err := state.ParseKey(k); err == nil {
			statuses[key] = st
		}
	}
	var entries []accept.Entry
	for _, e := range specs.Entries {
		key, err := state.ParseKey(e.Key)
		if err != nil {
			continue
		}
		x := accept.Entry{Key: key, Revision: e.Revision, Deleted: e.Deleted, Now: e.DeleteNow, At: e.At}
		if !e.Deleted {
			x.Doc, x.Err = state.DecodeValue(key, e.Value)
		}
		entries = append(entries, x)
	}
	observed := s.views.Observed()
	desired, kept := accept.Revisions(accept.Input{Synced: specs.Synced && loaded, Entries: entries, Statuses: statuses,
		Confirmed: specs.Confirmed, Units: observed.Units})
	in := actors.Input{Now: time.Now(), Desired: desired, Observed: observed, Suspects: s.suspects,
		Registered: map[string]state.Registrations{}, Frontends: map[string]state.FrontendView{},
		Policy: actors.Policy{StoreID: s.views.StoreID(), RayNamespace: "nemo_curator_dynamo", PlacementTimeout: 180 * time.Second,
			DeleteHold: 10 * time.Second, SweepLook: time.Second, AgentTimeout: 3 * time.Second}}
	for _, server := range desired.Servers {
		in.Registered[server.Name], in.Frontends[server.Name] = registered(server, observed.Units), listed(server, desired, observed.Units)
	}
	return in, kept
}

func registered(server actors.DesiredServer, units []state.Unit) state.Registrations {
	out := state.Registrations{Known: true}
	for _, u := range units {
		for _, a := range u.Actors {
			if u.Server == server.Name && u.Model != "" && a.Lease != 0 {
				out.Instances = append(out.Instances, state.Instance{Lease: a.Lease, Card: true, Endpoint: "generate",
					Namespace: actors.Namespace(server.Spec.DynamoNamespace, u.Generation)})
			}
		}
	}
	return out
}

func listed(server actors.DesiredServer, desired actors.Desired, units []state.Unit) state.FrontendView {
	out := state.FrontendView{Known: true, Models: map[string]state.FrontendModel{}}
	for _, m := range desired.Models {
		for _, u := range units {
			if u.Server != server.Name || u.Model != m.Name || m.Server != server.Name {
				continue
			}
			fm := state.FrontendModel{Listed: true, Ready: true, Namespaces: map[string]state.FrontendNamespace{}}
			for _, other := range units {
				if other.Model == m.Name {
					fm.Namespaces[actors.Namespace(server.Spec.DynamoNamespace, other.Generation)] = state.FrontendNamespace{Ready: true}
				}
			}
			out.Models[m.Spec.ServedName] = fm
		}
	}
	return out
}

// start makes a unit run at once.
func (s *standIn) start(ctx context.Context, t *testing.T, start actors.Start) {
	x := start.Template
	u := state.Unit{Incarnation: 1, Server: x.Server, Unit: x.Unit, Model: x.Model, Role: x.Role, Replica: x.Replica, Worker: x.Worker,
		Generation: x.Generation, StoreID: s.views.StoreID(), State: state.UnitRunning, Digest: x.Digest, Restart: x.Restart,
		Attempt: start.Placement.Number, PlacementGroup: x.PlacementGroup, ChangedAt: time.Now(), SentAt: time.Now()}
	u.PlacementGroup.State, u.PlacementGroup.ID = "CREATED", "pg"
	for i, a := range x.Actors {
		s.leases++
		actor := state.Actor{Name: a.Name, Bundle: a.Bundle, State: state.UnitRunning, Node: "n0", IP: "10.0.0.1", PID: 100 + i, ChildPID: 200 + i,
			Attempt: max(start.Attempts[a.Name].Number, 1), Digest: a.Digest, Ports: map[string]int{}, StartedAt: time.Now(), ReadyAt: time.Now()}
		if x.Model != "" {
			actor.Lease = 7587890123456780000 + s.leases
		}
		for _, p := range a.Ports {
			actor.Ports[p.Name] = p.Seed
		}
		if strings.HasSuffix(a.Name, actors.LabelFrontend) {
			actor.IP, actor.Ports[actors.PortHTTP] = s.frontend.IP.String(), s.frontend.Port
		}
		u.Actors = append(u.Actors, actor)
	}
	s.put(ctx, t, "unit."+u.Server+"."+u.Unit, u)
}

func (s *standIn) remove(ctx context.Context, t *testing.T, key state.UnitKey) {
	if err := s.observed.Delete(ctx, "unit."+key.Server+"."+key.Unit); err != nil && ctx.Err() == nil {
		t.Error(err)
	}
}

// orphan is a unit that no spec asks for.
func (s *standIn) orphan(ctx context.Context, t *testing.T, unit string) {
	s.put(ctx, t, "unit.default."+unit, state.Unit{Incarnation: 1, Server: "default", Unit: unit, Model: "gone", Generation: "00000000",
		State: state.UnitRunning, PlacementGroup: state.PlacementGroup{Name: "dynamo_default_00000000_pg_gone_DP0"}, ChangedAt: time.Now(), SentAt: time.Now()})
}

func (s *standIn) swept(ctx context.Context, key state.UnitKey) bool {
	options := events.TailOptions{Server: key.Server, Types: []string{events.TypeSweep}, Object: key.Unit}
	for _, err := range events.Tail(ctx, s.client.JetStream(), options) {
		return err == nil
	}
	return false
}

// tell publishes the examples of the catalogue, so that there are events to read.
func (s *standIn) tell(t *testing.T) {
	t.Helper()
	p, err := events.NewPublisher(s.client.JetStream(), events.PublisherOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range examples(t) {
		if x.document == nil || events.IsCommand(x.typ) {
			continue
		}
		e, err := events.Decode(x.document)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Publish(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func mustAbs(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}
