package events

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"
)

func TestTailSelects(t *testing.T) {
	js := newBroker(t).ready()
	ctx := t.Context()
	p := newPublisher(t, js, PublisherOptions{})
	put := func(id, server, typ, object, model string) {
		t.Helper()
		e := Event{ID: id, Type: typ, Source: "s", Object: object, Time: time.Now(), Data: Data{Server: server, Model: model}}
		if err := p.Publish(ctx, e); err != nil {
			t.Fatal(err)
		}
	}
	put("1", "a", TypePlan, "a", "")
	put("2", "a", TypeUnitReady, "u.1", "m")
	put("3", "b", TypeUnitReady, "u2", "m")
	put("4", "", TypeLeaderElected, "", "")
	if _, err := js.Publish(ctx, "dynctl.events.a.plan.a", []byte("garbage")); err != nil {
		t.Fatal(err)
	}
	between := time.Now()
	put("6", "a", TypeUnitExited, "u.1", "m")
	rows := []struct {
		name string
		o    TailOptions
		want []string
	}{
		{"all", TailOptions{}, []string{"1", "2", "3", "4", "!5", "6"}},
		{"a server", TailOptions{Server: "a"}, []string{"1", "2", "!5", "6"}},
		{"no server", TailOptions{Server: ClusterServer}, []string{"4"}},
		{"types", TailOptions{Types: []string{TypeUnitReady, TypeUnitExited, TypeUnitReady}}, []string{"2", "3", "6"}},
		{"object", TailOptions{Object: "u.1"}, []string{"2", "!5", "6"}},
		{"model and server", TailOptions{Model: "m", Server: "b"}, []string{"3"}},
		{"from a position", TailOptions{FromSeq: 4}, []string{"4", "!5", "6"}},
		{"since", TailOptions{Since: between}, []string{"6"}},
		{"position and since", TailOptions{FromSeq: 2, Since: between}, []string{"!5", "6"}},
		{"nothing", TailOptions{Server: "c"}, nil},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			var got []string
			for e, err := range Tail(ctx, js, row.o) {
				switch {
				case errors.Is(err, ErrInvalid) && e.Sequence == 5:
					got = append(got, "!5")
				case err != nil:
					t.Fatal(err)
				default:
					got = append(got, e.ID)
				}
			}
			if !slices.Equal(got, row.want) {
				t.Errorf("%v, want %v", got, row.want)
			}
		})
	}
}

func TestTailFollows(t *testing.T) {
	b := newBroker(t)
	js := b.ready()
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	p := newPublisher(t, js, PublisherOptions{})
	p.Record(testEvent(0))
	next := 1
	for e, err := range Tail(ctx, js, TailOptions{Follow: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if want := testEvent(next - 1).ID; e.ID != want {
			t.Fatalf("%s, want %s", e.ID, want)
		}
		switch next {
		case 3:
			b.stop()
			b.start()
		case 5:
			if err := js.DeleteStream(ctx, Stream); err != nil {
				t.Fatal(err)
			}
			if err := EnsureStream(ctx, js); err != nil {
				t.Fatal(err)
			}
		case 7:
			cancel()
		}
		if next == 7 {
			break
		}
		p.Record(testEvent(next))
		next++
	}
}

func TestTailWithoutAStream(t *testing.T) {
	b := newBroker(t)
	js := b.dial()
	for _, follow := range []bool{false, true} {
		n := 0
		for _, err := range Tail(t.Context(), js, TailOptions{Follow: follow}) {
			if n++; !errors.Is(err, ErrUnavailable) {
				t.Errorf("%v", err)
			}
		}
		if n != 1 {
			t.Errorf("follow %v: %d results, want one error", follow, n)
		}
	}
	js = b.ready()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	for _, err := range Tail(ctx, js, TailOptions{Follow: true}) {
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
	}
}
