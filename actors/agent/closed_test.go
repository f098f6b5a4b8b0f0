//go:build integration

package agent

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dynctl/events"
	"dynctl/state/kv"
	"dynctl/state/kv/natsd"
	"dynctl/state/roles"
)

// everything is what an agent does at its store, once.
const everything = `
import asyncio, sys, time
from dynctl_agent.job.bus import Bus
from dynctl_agent.job.config import Config

async def main():
    bus = Bus()
    await bus.connect(Config.decode(sys.argv[1], sys.stdin.read()))
    async def logs(message):
        await message.respond(b"a log")
    await bus.listen("dynctl.agent.logs", logs)
    commands = await bus.subscribe("agent-1", 0)
    revision = await bus.write("agent", {"incarnation": 1}, 0)
    await bus.learn_clock(revision, time.time())
    await bus.write("node.n", {"x": 1}, 0)
    assert sorted(await bus.keys()) == ["agent", "node.n"], await bus.keys()
    _, revision = await bus.read("agent")
    await bus.delete("agent", revision)
    await bus.publish("dynctl.events.a.unit-ready.u", "1", {})
    print("ready", flush=True)
    [command] = await commands.fetch(1, timeout=60)
    await command.ack_sync()
    assert await bus.withheld("1") == {"secret": 1}
    print("done", flush=True)
    await asyncio.sleep(1000)

asyncio.run(main())
`

// TestAClosedStore: what the agent does at its store it may do as the user that a
// reconciler gives it, with the library that it has, and nothing of it is refused.
func TestAClosedStore(t *testing.T) {
	creds, err := natsd.OpenCreds(t.TempDir(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	login, err := creds.Login()
	if err != nil {
		t.Fatal(err)
	}
	server, err := natsd.Start(natsd.Options{Port: -1, StoreDir: t.TempDir(), Doors: creds.Doors(), Login: login})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Shutdown(context.WithoutCancel(t.Context())) })
	nc, err := server.Connect(nats.CustomInboxPrefix(roles.InboxPrefix(roles.Reconciler)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.EnsureBuckets(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	if err := events.EnsureStream(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	if _, err := nc.Subscribe("dynctl.reconciler.withheld", func(m *nats.Msg) { _ = m.Respond([]byte(`{"template": {"secret": 1}}`)) }); err != nil {
		t.Fatal(err)
	}
	says := startBus(t, server.URL(), creds.AgentPassword())
	says("ready")
	if _, err := js.Publish(t.Context(), "dynctl.events.a.start.u", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	says("done")
	if m, err := nc.Request("dynctl.agent.logs", nil, time.Minute); err != nil || string(m.Data) != "a log" {
		t.Errorf("the agent answers %v, %v", m, err)
	}
}

// startBus runs everything; says waits until a line comes, and takes no other.
func startBus(t *testing.T, natsURL, password string) (says func(line string)) {
	t.Helper()
	python, err := filepath.Abs(filepath.Join(cmp.Or(os.Getenv("DYNCTL_VENV"), "../../.venv"), "bin/python"))
	if err != nil {
		t.Fatal(err)
	}
	config, _ := json.Marshal(map[string]string{"natsUrl": natsURL, "storeId": "x", "rayNamespace": "x"})
	login, _ := json.Marshal(map[string]string{"user": natsd.UserAgent, "password": password, "inboxPrefix": roles.InboxPrefix(roles.Agent)})
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, python, "-c", everything, base64.StdEncoding.EncodeToString(config))
	cmd.Stdin = strings.NewReader(string(login))
	lines := make(chan string, 100)
	out := &lineWriter{lines: lines}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: run make venv", err)
	}
	t.Cleanup(func() { cancel(); _ = cmd.Wait() })
	return func(want string) {
		t.Helper()
		select {
		case line := <-lines:
			if line != want {
				time.Sleep(time.Second) // what else it says
				for len(lines) > 0 {
					line += "\n" + <-lines
				}
				t.Fatalf("it says %s, want %s", line, want)
			}
		case <-time.After(2 * time.Minute):
			t.Fatalf("no %q", want)
		}
	}
}

// lineWriter hands on whole lines.
type lineWriter struct {
	lines chan<- string
	rest  string
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.rest += string(p)
	for {
		line, rest, ok := strings.Cut(w.rest, "\n")
		if !ok {
			return len(p), nil
		}
		w.lines <- line
		w.rest = rest
	}
}
