package docs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dynctl/actors"
	"dynctl/actors/accept"
	"dynctl/actors/plan"
	"dynctl/actors/world"
	"dynctl/events"
	"dynctl/state"
	"dynctl/state/kv"
)

// standIn answers dynctl as a reconciler and an agent would: it plans with the
// planner itself and carries everything out at once. So the pages' commands meet
// a store in which things happen, without Ray. What really runs is the matter of
// integration/.
type standIn struct {
	doors
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
	d := startDoors(t)
	ctx, cancel := context.WithCancel(context.Background())
	login, err := d.creds.Login()
	if err != nil {
		t.Fatal(err)
	}
	client, err := kv.Connect(ctx, d.server.URL(), login)
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
	s := &standIn{doors: d, client: client, views: views, frontend: startFrontend(t)}
	if s.observed, err = client.JetStream().KeyValue(ctx, kv.BucketObserved); err != nil {
		t.Fatal(err)
	}
	s.put(ctx, t, "node.n0", state.Node{ID: "n0", IP: "10.0.0.1", GPUs: 8, CPUs: 32, Alive: true, Head: true})
	lease := []byte(`{"holder": "r1", "epoch": 1, "since": "2026-11-24T00:00:00Z"}`)
	if _, err := client.JetStream().Publish(ctx, "$KV."+kv.BucketLease+".leader", lease, jetstream.WithMsgTTL(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(answerLogs(d.agent(t)), d.answer(client.JetStream().Conn())); err != nil {
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
	list, _ := s.views.Statuses()
	statuses := map[string]state.Status{}
	for _, x := range list {
		statuses[x.Key] = *x.Status
	}
	for _, planned := range r.Statuses {
		st := *planned
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
	for _, st := range views {
		if st.Object.Kind != "" {
			statuses[st.Object] = *st.Status
		}
	}
	var entries []*accept.Entry
	for _, e := range specs.Entries {
		key, err := state.ParseKey(e.Key)
		if err != nil {
			continue
		}
		x := &accept.Entry{Key: key, Revision: e.Revision, Deleted: e.Deleted, Now: e.DeleteNow, At: e.At}
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
		in.Registered[server.Name], in.Frontends[server.Name] = serving(server, desired, observed.Units)
	}
	return in, kept
}

// serving is what runs, registered and listed at once.
func serving(server actors.DesiredServer, desired actors.Desired, units []*state.Unit) (state.Registrations, state.FrontendView) {
	served := map[string]string{}
	for _, m := range desired.Models {
		if m.Server == server.Name {
			served[m.Name] = m.Spec.ServedNameOrModel()
		}
	}
	regs := state.Registrations{Known: true}
	for _, u := range units {
		for _, a := range u.Actors {
			if u.Server == server.Name && u.Model != "" && a.Lease != 0 {
				regs.Instances = append(regs.Instances, world.Instance(server.Spec.DynamoNamespace, served[u.Model], *u, a.Lease))
			}
		}
	}
	return regs, world.Listed(server.Name, desired.Models, regs.Instances, func(string) bool { return false })
}

// start makes a unit run at once.
func (s *standIn) start(ctx context.Context, t *testing.T, start actors.Start) {
	now := time.Now()
	u := world.Started(nil, start, s.views.StoreID())
	if len(u.PlacementGroup.Bundles) > 0 {
		u = world.Placed(u, slices.Repeat([]string{"n0"}, len(u.PlacementGroup.Bundles)), func(string) string { return "10.0.0.1" })
	}
	u.Incarnation, u.State, u.PlacementGroup.ID, u.ChangedAt, u.SentAt = 1, state.UnitRunning, "pg", now, now
	for i := range u.Actors {
		a := &u.Actors[i]
		a.State, a.PID, a.ChildPID, a.Attempt, a.StartedAt, a.ReadyAt = state.UnitRunning, 100+i, 200+i, max(a.Attempt, 1), now, now
		if u.Model != "" {
			s.leases++
			a.Lease = 7587890123456780000 + s.leases
		}
		if strings.HasSuffix(a.Name, actors.LabelFrontend) {
			a.IP, a.Ports[actors.PortHTTP] = s.frontend.IP.String(), s.frontend.Port
		}
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
