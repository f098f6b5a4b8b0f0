package kv_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"dynctl/events"
	"dynctl/state"
	"dynctl/state/kv"
	"dynctl/state/kv/natsd"
)

// Another service writes a spec and reads its status and the events, which a
// durable consumer delivers once over all runs. A reconciler and an agent play
// their part here in a few lines.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	url, stop := exampleStore(ctx)
	defer stop()

	c, err := kv.Connect(ctx, url)
	check(err)
	defer c.Close()
	key := state.ModelKey("default", "tiny")
	rev, err := c.PutSpec(ctx, key, []byte("{apiVersion: dynctl/v1alpha1, kind: Model, metadata: {name: tiny}, spec: {model: a/tiny}}"),
		kv.PutOptions{Author: "autoscaler"})
	check(err)
	reconcile(ctx, c, key, rev)

	status, err := c.GetStatus(ctx, key)
	check(err)
	ready, _ := status.Condition(state.CondReady)
	fmt.Println("seen:", status.ObservedRevision == rev, "ready:", ready.Status)

	cons, err := c.JetStream().CreateOrUpdateConsumer(ctx, events.Stream, jetstream.ConsumerConfig{
		Durable: "my-alerts", FilterSubject: "dynctl.events.default.unit-ready.>", AckPolicy: jetstream.AckExplicitPolicy,
	})
	check(err)
	msg, err := cons.Next()
	check(err)
	e, err := events.Decode(msg.Data())
	check(err)
	fmt.Println(e.Type, e.Object)
	check(msg.DoubleAck(ctx)) // after the work is done

	again, err := c.JetStream().Consumer(ctx, events.Stream, "my-alerts")
	check(err)
	fmt.Println("left for the next run:", again.CachedInfo().NumPending, "unacknowledged:", again.CachedInfo().NumAckPending)
	// Output:
	// seen: true ready: True
	// unit-ready 1a2b3c4d_tiny_DP0
	// left for the next run: 0 unacknowledged: 0
}

// exampleStore is a NATS with an empty store.
func exampleStore(ctx context.Context) (url string, stop func()) {
	dir, err := os.MkdirTemp("", "dynctl-example")
	check(err)
	server, err := natsd.Start(natsd.Options{Port: -1, StoreDir: dir})
	check(err)
	nc, err := server.Connect()
	check(err)
	js, err := jetstream.New(nc)
	check(err)
	_, err = kv.EnsureBuckets(ctx, js)
	check(err)
	check(events.EnsureStream(ctx, js))
	return server.URL(), func() {
		nc.Close()
		check(server.Shutdown(context.WithoutCancel(ctx)))
		check(os.RemoveAll(dir))
	}
}

// reconcile writes what a reconciler would once the model serves.
func reconcile(ctx context.Context, c *kv.Client, key state.Key, rev uint64) {
	_, err := c.PutStatus(ctx, state.Status{Key: key.String(), Kind: key.Kind, Server: key.Server, Name: key.Name, ObservedRevision: rev, AcceptedRevision: rev,
		Conditions: []state.Condition{{Type: state.CondReady, Status: state.StatusTrue, Reason: "OK"}}})
	check(err)
	p, err := events.NewPublisher(c.JetStream(), events.PublisherOptions{})
	check(err)
	check(p.Publish(ctx, events.Event{ID: "1", Type: events.TypeUnitReady, Source: "dynctl/reconciler/r1", Object: "1a2b3c4d_tiny_DP0",
		Time: time.Now(), Data: events.Data{Server: key.Server, Model: key.Name, Unit: "1a2b3c4d_tiny_DP0", Reason: "OK"}}))
	check(p.Close(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
