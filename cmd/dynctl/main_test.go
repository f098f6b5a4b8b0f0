package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rogpeppe/go-internal/testscript"

	"dynctl/cmd/internal/version"
	"dynctl/events"
	"dynctl/state"
	"dynctl/state/kv"
	"dynctl/state/kv/natsd"
)

var update = flag.Bool("update", false, "rewrite the golden files and the schemas")

// envRace is read by the race detector, which has a program sleep for a second before it
// exits. Whatever a story starts would be a second late, and has nothing left to race by then.
const envRace, exitAtOnce = "GORACE", "atexit_sleep_ms=0"

func TestMain(m *testing.M) {
	version.Value = "v0.0.0-test"
	if err := os.Setenv(envRace, os.Getenv(envRace)+" "+exitAtOnce); err != nil { // of what is started from here on
		panic(err)
	}
	testscript.Main(m, map[string]func(){"dynctl": main})
}

// TestScripts runs the stories in testdata/script, each against a NATS of its own
// that holds an empty store. What a reconciler and an agent would write, a story
// writes itself:
//
//	status KEY FILE   writes a status; its revisions default to the spec's
//	observed FILE     writes keys of the observed bucket
//	event FILE        publishes events, one JSON object a line
//	message SUBJECT FILE  publishes what may be no event
//	raw KEY FILE      writes a spec without dynctl
//	leader EPOCH [VERSION [FILE]]  makes somebody lead, who says FILE of the standby agent
//	watching TEXT           runs dynctl watch until it shows TEXT; see [watching]
//	mask FILE               writes the file masked: FILE without what differs in each run
//	screen COLUMNS ARG...   runs dynctl at a terminal; see [atTerminal]
//	logs FILE         answers for the logs in FILE, by unit/actor, as an agent does
//	hostile WORD ARG...  runs dynctl at a terminal on what others wrote; see [hostile]
//	flood NAME FILE   writes one of [floods]
//	bounded CODE ARG...  runs dynctl in little memory and time; see [bounded]
//	frontend FILE     serves FILE as the answer of /v1/chat/completions and
//	                  sets $ENDPOINT
//
//	normal FILE       writes FILE without what differs from run to run (times, ages,
//	                  the machine, versions, widths of columns) to the file normal
//
// In all of them {{ago 5m}} is the time 5 minutes ago, $STORE the id of the store.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		Setup:               startStore,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status":   putStatus,
			"observed": putObserved,
			"event":    putEvents,
			"message":  putMessage,
			"raw":      putRaw,
			"leader":   putLeader,
			"screen":   atTerminal,
			"mask":     mask,
			"watching": watching,
			"frontend": serveFrontend,
			"logs":     serveLogs,
			"exits":    exits,
			"normal":   normal,
			"valid":    valid,
			"hostile":  hostile,
			"flood":    flood,
			"bounded":  bounded,
		},
	})
}

func startStore(env *testscript.Env) error {
	server, err := natsd.Start(natsd.Options{Port: -1, StoreDir: filepath.Join(env.WorkDir, ".nats")})
	if err != nil {
		return err
	}
	env.Defer(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			env.T().Log(err)
		}
	})
	ctx := context.Background()
	client, err := kv.Connect(ctx, server.URL())
	if err != nil {
		return err
	}
	env.Defer(client.Close)
	if _, err := kv.EnsureBuckets(ctx, client.JetStream()); err != nil {
		return err
	}
	if err := events.EnsureStream(ctx, client.JetStream()); err != nil {
		return err
	}
	env.Values["client"] = client
	env.Setenv(envRace, os.Getenv(envRace))
	env.Setenv("DYNCTL_NATS_URL", server.URL())
	env.Setenv("USER", "tester")
	env.Setenv("HOME", env.WorkDir)
	env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, ".config"))
	return nil
}

func clientOf(ts *testscript.TestScript) *kv.Client { return ts.Value("client").(*kv.Client) }

var agoPattern = regexp.MustCompile(`\{\{ago (-?[0-9a-z.]+)\}\}`)

// fixture reads a file of the story with its times and variables filled in.
func fixture(ts *testscript.TestScript, name string) []byte {
	now := time.Now()
	text := agoPattern.ReplaceAllStringFunc(ts.ReadFile(name), func(s string) string {
		d, err := time.ParseDuration(agoPattern.FindStringSubmatch(s)[1])
		ts.Check(err)
		return now.Add(-d).UTC().Format(time.RFC3339)
	})
	id, err := clientOf(ts).StoreID(context.Background())
	ts.Check(err)
	return []byte(strings.NewReplacer("$ENDPOINT", ts.Getenv("ENDPOINT"), "$STORE", id).Replace(text))
}

// exits runs dynctl and checks its exit code: exits 2 set bad.yaml.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	err := ts.Exec("dynctl", args[1:]...)
	code := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if args[0] != strconv.Itoa(code) {
		ts.Fatalf("dynctl %s: exit code %d, want %s", strings.Join(args[1:], " "), code, args[0])
	}
}

// unstable are what differs from run to run, with what stands for it.
var unstable = []struct {
	pattern *regexp.Regexp
	text    string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "TIME"},
	{regexp.MustCompile(`(?m)(^| {2})\d+[smhd]( {2}|$)`), "${1}AGE${2}"},
	{regexp.MustCompile(`tester@[-.A-Za-z0-9]+`), "tester@HOST"},
	{regexp.MustCompile(`dynctl \S+( \([^)]*\))?, go[0-9.]+\S*, \w+/\w+`), "dynctl VERSION, GO, PLATFORM"},
	{regexp.MustCompile(`(\S) {2,}`), "${1}  "},
}

func normal(ts *testscript.TestScript, neg bool, args []string) {
	text := ts.ReadFile(args[0])
	for _, u := range unstable {
		text = u.pattern.ReplaceAllString(text, u.text)
	}
	ts.Check(os.WriteFile(ts.MkAbs("normal"), []byte(text), 0o600))
}

func putStatus(ts *testscript.TestScript, neg bool, args []string) {
	key, err := state.ParseKey(args[0])
	ts.Check(err)
	var s state.Status
	ts.Check(json.Unmarshal(fixture(ts, args[1]), &s))
	s.Key, s.Kind, s.Server, s.Name = key.String(), key.Kind, key.Server, key.Name
	client, ctx := clientOf(ts), context.Background()
	if entry, err := client.GetSpec(ctx, key); err == nil {
		if s.ObservedRevision == 0 {
			s.ObservedRevision = entry.Revision
		}
		if condition(&s, state.CondAccepted) != state.StatusFalse {
			s.AcceptedRevision, s.AcceptedSpec = entry.Revision, entry.Value
		}
	}
	if old, err := client.GetStatus(ctx, key); err == nil {
		s.Revision = old.Revision
	}
	_, err = client.PutStatus(ctx, s)
	ts.Check(err)
}

func putObserved(ts *testscript.TestScript, neg bool, args []string) {
	var values map[string]json.RawMessage
	ts.Check(json.Unmarshal(fixture(ts, args[0]), &values))
	ctx := context.Background()
	bucket, err := clientOf(ts).JetStream().KeyValue(ctx, kv.BucketObserved)
	ts.Check(err)
	for key, value := range values {
		_, err := bucket.Put(ctx, key, value)
		ts.Check(err)
	}
}

func putRaw(ts *testscript.TestScript, neg bool, args []string) {
	ctx := context.Background()
	bucket, err := clientOf(ts).JetStream().KeyValue(ctx, kv.BucketSpecs)
	ts.Check(err)
	_, err = bucket.Put(ctx, args[0], fixture(ts, args[1]))
	ts.Check(err)
}

func putMessage(ts *testscript.TestScript, neg bool, args []string) {
	_, err := clientOf(ts).JetStream().Publish(context.Background(), args[0], fixture(ts, args[1]))
	ts.Check(err)
}

func putLeader(ts *testscript.TestScript, neg bool, args []string) {
	is, standby := "", []byte("null")
	if len(args) > 1 {
		is = args[1]
	}
	if len(args) > 2 {
		standby = fixture(ts, args[2])
	}
	since := time.Now().Add(-3 * time.Hour).UTC().Format(time.RFC3339)
	value := []byte(`{"holder": "r1", "epoch": ` + args[0] + `, "since": "` + since + `", "version": "` + is + `", "standbyAgent": ` + string(standby) + `}`)
	// A lease expires, as every one does.
	_, err := clientOf(ts).JetStream().Publish(context.Background(), "$KV."+kv.BucketLease+".leader", value, jetstream.WithMsgTTL(time.Hour))
	ts.Check(err)
}

func putEvents(ts *testscript.TestScript, neg bool, args []string) {
	ctx := context.Background()
	p, err := events.NewPublisher(clientOf(ts).JetStream(), events.PublisherOptions{})
	ts.Check(err)
	for _, line := range strings.Split(strings.TrimSpace(string(fixture(ts, args[0]))), "\n") {
		var e events.Event
		ts.Check(json.Unmarshal([]byte(line), &e))
		ts.Check(p.Publish(ctx, e))
	}
	ts.Check(p.Close(ctx))
}

// serveFrontend answers like Dynamo's frontend: with a file, as a stream of events
// where its name says so, and an error otherwise.
func serveFrontend(ts *testscript.TestScript, neg bool, args []string) {
	body := ts.ReadFile(args[0])
	asked := ts.MkAbs("asked.json")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			var b bytes.Buffer
			_, _ = b.ReadFrom(r.Body)
			_ = os.WriteFile(asked, append(b.Bytes(), '\n'), 0o600)
		}
		if strings.HasSuffix(args[0], ".json") {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = w.Write([]byte(body))
	}))
	ts.Defer(server.Close)
	ts.Setenv("ENDPOINT", server.URL+"/v1")
}
