package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

func full() Event {
	return Event{
		ID: "7-ab", Type: TypeStart, Source: "dynctl/reconciler/r1", Object: "1a2b3c4d_qwen3_DP0",
		Time:        time.Date(2026, 11, 1, 12, 0, 0, 5000, time.UTC),
		TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		Data: Data{
			Server: "default", Model: "qwen3", Unit: "1a2b3c4d_qwen3_DP0", Generation: "1a2b3c4d",
			SpecRevision: 12, Epoch: 7, CauseID: "c", Reason: "Wanted", Message: "it is \"wanted\"\n<>",
			Command: json.RawMessage(`{"deadline":30}`), Detail: json.RawMessage(`[1,2]`),
		},
	}
}

func TestRoundTrip(t *testing.T) {
	cluster := Event{ID: "l", Type: TypeLeaderElected, Source: "s", Object: ClusterServer, Time: time.Unix(1, 0).UTC()}
	dotted := full()
	dotted.Object = "qwen3-0.6b"
	for _, e := range []Event{full(), cluster, dotted} {
		b, err := Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		if want := `"traceparent":"` + e.TraceParent + `"`; bytes.Contains(b, []byte(`"traceparent"`)) != (e.TraceParent != "") || e.TraceParent != "" && !bytes.Contains(b, []byte(want)) {
			t.Errorf("the trace %q stands in %s", e.TraceParent, b)
		}
		if bytes.ContainsAny(b, "\n") {
			t.Errorf("more than one line: %s", b)
		}
		got, err := Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, e) {
			t.Errorf("%+v came back as %+v", e, got)
		}
		if got.Subject() != e.Subject() {
			t.Errorf("subject %s came back as %s", e.Subject(), got.Subject())
		}
	}
}

// TestEncodeIsAsTheSDKs: what is written here is what CloudEvents' own SDK writes.
func TestEncodeIsAsTheSDKs(t *testing.T) {
	cluster := Event{ID: "l", Type: TypeLeaderElected, Source: "dynctl/reconciler/a host&<b>", Time: time.Unix(1, 0).In(time.FixedZone("", 3600))}
	spaced := full()
	spaced.Data.Command = json.RawMessage(`{ "deadline" : 30, "text": "<&>" }`)
	for _, e := range []Event{full(), cluster, spaced} {
		sdk := cloudevents.New(cloudevents.CloudEventsVersionV1)
		sdk.SetID(e.ID)
		sdk.SetSource(e.Source)
		sdk.SetType(e.Type)
		sdk.SetSubject(e.object())
		sdk.SetTime(e.Time.UTC())
		if e.TraceParent != "" {
			sdk.SetExtension(traceParent, e.TraceParent)
		}
		if err := sdk.SetData(cloudevents.ApplicationJSON, e.Data); err != nil {
			t.Fatal(err)
		}
		want, err := json.Marshal(sdk)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Encode(e); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s (%v), want %s", got, err, want)
		}
	}
}

// TestAnySourceIsEncoded: what is no URI reference is written as one.
func TestAnySourceIsEncoded(t *testing.T) {
	e := full()
	e.Source = "dynctl/reconciler/100%"
	b, err := Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Decode(b); err != nil || got.Source != "dynctl/reconciler/100%25" {
		t.Errorf("%q (%v)", got.Source, err)
	}
}

func TestEncodeRefuses(t *testing.T) {
	rows := map[string]func(*Event){
		"no id":                func(e *Event) { e.ID = "" },
		"line break in id":     func(e *Event) { e.ID = "a\r\nb" },
		"no type":              func(e *Event) { e.Type = "" },
		"type of two words":    func(e *Event) { e.Type = "unit.ready" },
		"no source":            func(e *Event) { e.Source = "" },
		"no time":              func(e *Event) { e.Time = time.Time{} },
		"time out of range":    func(e *Event) { e.Time = time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"dotted server":        func(e *Event) { e.Data.Server = "a.b" },
		"wildcard in server":   func(e *Event) { e.Data.Server = "*" },
		"space in object":      func(e *Event) { e.Object = "a b" },
		"empty word in object": func(e *Event) { e.Object = "a..b" },
		"detail is no JSON":    func(e *Event) { e.Data.Detail = json.RawMessage("{") },
	}
	for name, spoil := range rows {
		t.Run(name, func(t *testing.T) {
			e := full()
			spoil(&e)
			if _, err := Encode(e); !errors.Is(err, ErrInvalid) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	const good = `{"specversion":"1.0","id":"a","source":"s","type":"plan","subject":"o","time":"2026-11-01T12:00:00Z","datacontenttype":"application/json","data":{"server":"d"}}`
	if _, err := Decode([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, repl := range map[string][2]string{
		"another version":      {`"1.0"`, `"0.3"`},
		"no id":                {`"id":"a",`, ``},
		"no time":              {`"time":"2026-11-01T12:00:00Z",`, ``},
		"bad time":             {`2026-11-01T12:00:00Z`, `noon`},
		"no data":              {`,"data":{"server":"d"}`, ``},
		"data is null":         {`{"server":"d"}`, `null`},
		"data is a list":       {`{"server":"d"}`, `[]`},
		"data of another type": {`"server":"d"`, `"server":1`},
		"truncated":            {`}}`, ``},
	} {
		t.Run(name, func(t *testing.T) {
			doc := strings.Replace(good, repl[0], repl[1], 1)
			if _, err := Decode([]byte(doc)); doc == good || !errors.Is(err, ErrInvalid) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestCommandID(t *testing.T) {
	command := func(epoch uint64, server, unit, typ, generation string) Event {
		return Event{Type: typ, Data: Data{Epoch: epoch, Server: server, Unit: unit, Generation: generation}}
	}
	first := command(7, "s", "u", TypeStart, "g")
	id := first.CommandID("1", "2")
	if id != first.CommandID("1", "2") {
		t.Error("not the same again")
	}
	if !strings.HasPrefix(id, "7-") {
		t.Errorf("%s does not contain the epoch", id)
	}
	seen := map[string]bool{id: true}
	for _, other := range []string{
		command(8, "s", "u", TypeStart, "g").CommandID("1", "2"), command(7, "su", "", TypeStart, "g").CommandID("1", "2"),
		command(7, "s", "u", TypeStop, "g").CommandID("1", "2"), first.CommandID("12"),
		first.CommandID("1", "2", ""), command(7, "s", "u", TypeStart, "").CommandID("g", "1", "2"),
	} {
		if seen[other] {
			t.Errorf("%s twice", other)
		}
		seen[other] = true
	}
}

func TestSchema(t *testing.T) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("event.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("event.json")
	if err != nil {
		t.Fatal(err)
	}
	valid := func(b []byte) error {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		return s.Validate(v)
	}
	root := doc.(map[string]any)["properties"].(map[string]any)
	for _, typ := range root["type"].(map[string]any)["enum"].([]any) {
		e := full()
		e.Type = typ.(string)
		b, err := Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		if err := valid(b); err != nil {
			t.Errorf("%s: %v", typ, err)
		}
	}
	b, _ := Encode(full())
	for _, required := range doc.(map[string]any)["required"].([]any) {
		var m map[string]any
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatal(err)
		}
		delete(m, required.(string))
		without, _ := json.Marshal(m)
		if valid(without) == nil {
			t.Errorf("valid without %s", required)
		}
	}
	// Every field of Data is described, and nothing else is.
	described := root["data"].(map[string]any)["properties"].(map[string]any)
	fields := reflect.VisibleFields(reflect.TypeFor[Data]())
	for _, f := range fields {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if described[name] == nil {
			t.Errorf("data.%s is not described", name)
		}
	}
	if len(described) != len(fields) {
		t.Errorf("%d fields are described, there are %d", len(described), len(fields))
	}
}

// TestDecodeIsBrief: what an event that cannot be read says does not grow with it.
func TestDecodeIsBrief(t *testing.T) {
	for name, body := range map[string]string{
		"a number": `{"specversion":"1.0","id":` + strings.Repeat("9", 1<<20) + `}`,
		"a type":   `{"specversion":"1.0","id":"1","source":"s","type":"` + strings.Repeat("é.", 1<<20) + `","time":"2026-11-01T12:00:00Z","data":{}}`,
		"depth":    `{"specversion":"1.0","id":"1","source":"s","type":"t","time":"2026-11-01T12:00:00Z","data":{"x":` + strings.Repeat("[", 1<<20),
	} {
		if _, err := Decode([]byte(body)); err == nil || len(err.Error()) > 1<<10 {
			t.Errorf("%s: %.300v", name, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	b, _ := Encode(full())
	f.Add(b)
	f.Add([]byte(`{"specversion":"1.0","id":"a","source":"s","type":"plan","time":"2026-11-01T12:00:00Z","data_base64":"e30="}`))
	f.Add([]byte(`{"specversion":"1.0","data":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := Decode(b)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("%v is not ErrInvalid", err)
			}
			if text := err.Error(); len(text) > 1<<10 || !utf8.ValidString(text) {
				t.Fatalf("%d bytes: %.300q", len(text), text)
			}
			return
		}
		again, err := Encode(e)
		if err != nil {
			t.Fatalf("decoded but not encoded: %v", err)
		}
		e2, err := Decode(again)
		if err != nil {
			t.Fatalf("encoded but not decoded: %v", err)
		}
		if e2.Subject() != e.Subject() || e2.ID != e.ID || !e2.Time.Equal(e.Time) {
			t.Fatalf("%+v became %+v", e, e2)
		}
	})
}

// BenchmarkEncode is of a command as large as that of a start.
func BenchmarkEncode(b *testing.B) {
	e := full()
	e.Data.Command, _ = json.Marshal(map[string]string{"template": strings.Repeat(`{"a":"b"} `, 400)})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Encode(e); err != nil {
			b.Fatal(err)
		}
	}
}
