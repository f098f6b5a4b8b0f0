package natsd_test

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dynctl/events"
)

var update = flag.Bool("update", false, "write the goldens again")

// attack is one thing that is tried; it reports whether it passed.
type attack struct {
	name string
	try  func(f *fortress, nc *nats.Conn) bool
}

// patience is how long an answer may take that nothing forbids.
const patience = 20 * time.Second

// ask makes a request, and returns what is answered; nil: the request was not let through.
func ask(nc *nats.Conn, subject string, body []byte, reply string) []byte {
	before := nc.LastError()
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return nil
	}
	defer func() { _ = sub.Unsubscribe() }()
	if reply == "" {
		reply = inbox
	}
	if err := nc.PublishRequest(subject, reply, body); err != nil {
		return nil
	}
	if err := nc.Flush(); err != nil || forbidden(nc, before) || reply != inbox {
		return nil
	}
	m, err := sub.NextMsg(patience)
	if err != nil || m.Header.Get("Status") == "503" {
		return nil
	}
	return m.Data
}

func forbidden(nc *nats.Conn, before error) bool {
	err := nc.LastError()
	return errors.Is(err, nats.ErrPermissionViolation) && !errors.Is(before, err)
}

// asked reports whether the JetStream API carried a request out.
func asked(nc *nats.Conn, subject string, body string) bool {
	data := ask(nc, subject, []byte(body), "")
	var reply struct{ Error *json.RawMessage }
	return len(data) > 0 && json.Unmarshal(data, &reply) == nil && reply.Error == nil
}

func attacks() []attack {
	var all []attack
	add := func(name string, try func(*fortress, *nats.Conn) bool) { all = append(all, attack{name, try}) }
	for _, key := range keys {
		bucket, _, _ := strings.Cut(key, ".")
		add("write "+key, func(f *fortress, nc *nats.Conn) bool {
			before := f.last("KV_" + bucket)
			ask(nc, "$KV."+key, []byte("written"), "")
			return f.last("KV_"+bucket) != before
		})
		add("read  "+key, func(_ *fortress, nc *nats.Conn) bool {
			return ask(nc, "$JS.API.DIRECT.GET.KV_"+bucket+".$KV."+key, nil, "") != nil
		})
	}
	for _, subject := range published {
		add("publish "+subject, func(f *fortress, nc *nats.Conn) bool {
			before := f.last(events.Stream)
			ask(nc, subject, []byte("{}"), "")
			return f.last(events.Stream) != before
		})
	}
	for _, subject := range requested {
		add("request "+subject, func(_ *fortress, nc *nats.Conn) bool { return ask(nc, subject, []byte("{}"), "") != nil })
		add("hear    "+subject, hears(subject, func(f *fortress, aside *nats.Conn) { f.say(subject, aside) }))
	}
	for _, stream := range streams {
		all = append(all, streamAttacks(stream)...)
	}
	for _, subject := range []string{"$KV.dynctl_specs.model.b.m", "$KV.dynctl_status.model.a.m", "dynctl.events.b.start.u"} {
		add("hear    "+subject, hears(subject, func(f *fortress, aside *nats.Conn) { f.say(subject, aside) }))
	}
	add("hear    everything", hears(">", func(f *fortress, aside *nats.Conn) { f.say("$KV.dynctl_specs.model.b.m", aside) }))
	for _, who := range []string{"admin", "reconciler", "agent"} {
		add("hear    the answers to the "+who, hears(inboxes[who]+".>", func(f *fortress, _ *nats.Conn) {
			ask(f.conns[who], map[string]string{"admin": "dynctl.reconciler.checks", "reconciler": "dynctl.agent.logs", "agent": "dynctl.reconciler.withheld"}[who], nil, "")
		}))
	}
	add("make a stream", func(_ *fortress, nc *nats.Conn) bool {
		return asked(nc, "$JS.API.STREAM.CREATE.X", `{"name":"X","subjects":["x"]}`)
	})
	add("look at the account", func(_ *fortress, nc *nats.Conn) bool { return asked(nc, "$JS.API.INFO", "") })
	add("list streams", func(_ *fortress, nc *nats.Conn) bool { return asked(nc, "$JS.API.STREAM.NAMES", "") })
	add("ask the server", func(_ *fortress, nc *nats.Conn) bool { return ask(nc, "$SYS.REQ.SERVER.PING", nil, "") != nil })
	return append(all, deputies()...)
}

// hears tries to hear on a subject what is said there.
func hears(subject string, say func(*fortress, *nats.Conn)) func(*fortress, *nats.Conn) bool {
	return func(f *fortress, nc *nats.Conn) bool {
		before := nc.LastError()
		sub, err := nc.SubscribeSync(subject)
		if err != nil {
			return false
		}
		defer func() { _ = sub.Unsubscribe() }()
		if err := nc.Flush(); err != nil || forbidden(nc, before) {
			return false
		}
		say(f, nc)
		// What comes after it on the same connections has come when the former has.
		if err := errors.Join(f.root.Flush(), nc.Flush()); err != nil {
			return false
		}
		n, _, err := sub.Pending()
		return err == nil && n > 0
	}
}

func streamAttacks(stream string) []attack {
	api := func(name, verb, body string) attack {
		return attack{name + " " + stream, func(_ *fortress, nc *nats.Conn) bool { return asked(nc, "$JS.API."+verb, body) }}
	}
	return []attack{
		api("look at", "STREAM.INFO."+stream, ""),
		{"read any of " + stream, func(f *fortress, nc *nats.Conn) bool {
			return strings.Contains(string(ask(nc, "$JS.API.STREAM.MSG.GET."+stream, fmt.Appendf(nil, `{"seq": %d}`, f.last(stream)), "")), "data")
		}},
		{"read any directly of " + stream, func(f *fortress, nc *nats.Conn) bool {
			return ask(nc, "$JS.API.DIRECT.GET."+stream, fmt.Appendf(nil, `{"seq": %d}`, f.last(stream)), "") != nil
		}},
		api("consume", "CONSUMER.CREATE."+stream+".x", fmt.Sprintf(`{"stream_name":%q,"config":{"name":"x","ack_policy":"none","inactive_threshold":60000000000}}`, stream)),
		api("consume the old way", "CONSUMER.CREATE."+stream, fmt.Sprintf(`{"stream_name":%q,"config":{"ack_policy":"none","inactive_threshold":60000000000}}`, stream)),
		{"take from another's consumer of " + stream, func(f *fortress, nc *nats.Conn) bool {
			ctx := f.t.Context()
			s, err := f.js.Stream(ctx, stream)
			if err != nil {
				f.t.Fatal(err)
			}
			// One of its own each time: what is left of one that was deleted may still be removed when
			// the next one of its name is stored.
			name := "another-" + rand.Text()
			if _, err := s.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{Name: name, AckPolicy: jetstream.AckNonePolicy, InactiveThreshold: time.Minute}); err != nil {
				f.t.Fatal(err)
			}
			defer func() { _ = s.DeleteConsumer(ctx, name) }()
			return ask(nc, "$JS.API.CONSUMER.MSG.NEXT."+stream+"."+name, []byte("1"), "") != nil
		}},
		api("purge", "STREAM.PURGE."+stream, `{"seq": 1}`),
		{"delete from " + stream, func(f *fortress, nc *nats.Conn) bool {
			if _, err := f.js.Publish(f.t.Context(), "dynctl.events.a.plan.a", nil); err != nil { // else there is none left
				f.t.Fatal(err)
			}
			return asked(nc, "$JS.API.STREAM.MSG.DELETE."+stream, fmt.Sprintf(`{"seq": %d}`, f.last(stream)))
		}},
		{"change " + stream, func(f *fortress, nc *nats.Conn) bool {
			s, err := f.js.Stream(f.t.Context(), stream)
			if err != nil {
				f.t.Fatal(err)
			}
			config, _ := json.Marshal(s.CachedInfo().Config)
			return asked(nc, "$JS.API.STREAM.UPDATE."+stream, string(config))
		}},
		api("snapshot", "STREAM.SNAPSHOT."+stream, `{"deliver_subject": "x"}`),
	}
}

// deputies have somebody else do what the attacker may not: whoever answers publishes on
// the subject that the request names.
func deputies() []attack {
	const mine = "$JS.API.DIRECT.GET.KV_dynctl_specs.$KV.dynctl_specs.model.a.m"
	var all []attack
	into := func(name, subject string, body string) {
		for _, target := range []string{"$KV.dynctl_specs.model.b.m", "$KV.dynctl_status.model.a.m", "$KV.dynctl_lease.leader", "dynctl.events.a.start.u"} {
			all = append(all, attack{name + " answered into " + target, func(f *fortress, nc *nats.Conn) bool {
				stream := streams[slices.IndexFunc(streams, func(s string) bool {
					return strings.HasPrefix(target, "$KV."+strings.TrimPrefix(s, "KV_")+".") || s == events.Stream && strings.HasPrefix(target, "dynctl.events.")
				})]
				before := f.newest(stream, target)
				ask(nc, subject, []byte(body), target)
				// Answered after the former, and so is what is stored behind that.
				ask(nc, subject, []byte(body), "")
				if _, err := f.js.Publish(f.t.Context(), strings.Replace(target, ".a.", ".c.", 1)+".behind", nil); err != nil {
					f.t.Fatal(err)
				}
				return f.newest(stream, target) != before
			}})
		}
	}
	into("a write", "$KV.dynctl_specs.model.a.m", "evil")
	into("a read", mine, "")
	into("checks", "dynctl.reconciler.checks", "")
	return all
}

// What each role gets at, and nobody else.
func TestAttack(t *testing.T) { newFortress(t, false).attacked() }

// The same on a NATS of one's own that has what `dynctl creds template` prints.
func TestAttackOnATemplate(t *testing.T) { newFortress(t, true).attacked() }

func (f *fortress) attacked() {
	t := f.t
	t.Helper()
	if nc, err := nats.Connect(f.url); err == nil {
		nc.Close()
		t.Error("somebody without a credential is let in")
	}
	who := []string{"admin", "publisher", "viewer", "reconciler", "agent"}
	f.conns = map[string]*nats.Conn{}
	for _, name := range who {
		f.conns[name] = f.dial(name)
	}
	var out strings.Builder
	fmt.Fprintf(&out, "%-72s", "")
	for _, name := range who {
		fmt.Fprintf(&out, " %-10s", name)
	}
	out.WriteString("\n")
	for _, a := range attacks() {
		fmt.Fprintf(&out, "%-72s", a.name)
		for _, name := range who {
			passed := "-"
			if a.try(f, f.conns[name]) {
				passed = "passed"
			}
			fmt.Fprintf(&out, " %-10s", passed)
		}
		out.WriteString("\n")
	}
	golden(t, "testdata/attack.txt", out.String())
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	var lines []string
	for line := range strings.Lines(got) {
		lines = append(lines, strings.TrimRight(line, " \n")+"\n")
	}
	got = strings.Join(lines, "")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("what passed is not %s (-update writes it):\n%s", path, got)
	}
}
