// Command go declares a model, waits until it serves, and prints what happens to
// it with a consumer that remembers how far it got.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"dynctl/events"
	"dynctl/state"
	"dynctl/state/kv"
	"dynctl/state/kv/local"
)

func main() {
	url := flag.String("nats-url", cmp.Or(os.Getenv("DYNCTL_NATS_URL"), "nats://127.0.0.1:4322"), "NATS that holds the specs")
	name := flag.String("model", "tiny", "name of the model")
	file := flag.String("f", "", "its document, in YAML or JSON")
	durable := flag.String("durable", "go-example", "name of the consumer of events")
	count := flag.Int("events", 0, "end after so many events; 0: never")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *url, state.ModelKey(state.DefaultServer, *name), *file, consumer{*durable, *count})
	stop()
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, url string, key state.Key, file string, c consumer) error {
	// With the credential that a reconciler on this machine has left, if there is one.
	client, err := kv.Connect(ctx, url, local.Options(url)...)
	if err != nil {
		return err
	}
	defer client.Close()
	if file != "" {
		if err := declare(ctx, client, key, file); err != nil {
			return err
		}
	}
	return c.follow(ctx, client.JetStream(), key)
}

// declare writes the document over what stands there, and waits until it is Ready.
func declare(ctx context.Context, client *kv.Client, key state.Key, file string) error {
	document, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	revision, err := client.PutSpec(ctx, key, document, kv.PutOptions{Author: "go-example"})
	if err != nil {
		return err
	}
	fmt.Println(key, "is revision", revision)
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	for change, err := range client.WatchStatuses(ctx) {
		if err != nil {
			return err
		}
		if change.Key != key || change.Status.ObservedRevision != revision {
			continue // another object, or an older spec
		}
		accepted, _ := change.Status.Condition(state.CondAccepted)
		if accepted.Status == state.StatusFalse {
			return fmt.Errorf("%s: %s: %s", key, accepted.Reason, accepted.Message)
		}
		ready, _ := change.Status.Condition(state.CondReady)
		if ready.Status == state.StatusTrue {
			fmt.Println(key, "is Ready at", change.Status.Endpoint)
			return nil
		}
	}
	return ctx.Err()
}

// consumer is a durable one: its name is its memory.
type consumer struct {
	name  string
	count int
}

// follow prints the events of one model, each once over all runs.
func (c consumer) follow(ctx context.Context, js jetstream.JetStream, key state.Key) error {
	cons, err := js.CreateOrUpdateConsumer(ctx, events.Stream, jetstream.ConsumerConfig{
		Durable:       c.name,
		FilterSubject: events.SubjectPrefix + "." + key.Server + ".>",
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       30 * time.Second,
	})
	if err != nil {
		return err
	}
	messages, err := cons.Messages()
	if err != nil {
		return err
	}
	defer messages.Stop()
	for seen := 0; c.count == 0 || seen < c.count; {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return err
		}
		e, err := events.Decode(msg.Data())
		if err == nil && e.Data.Model == key.Name {
			fmt.Println(e.Time.Format(time.RFC3339), e.Type, e.Data.Server+"/"+e.Object, e.Data.Reason+": "+e.Data.Message)
			seen++
		}
		// After the work is done: what is not acked comes again.
		if err := msg.Ack(); err != nil {
			return err
		}
	}
	return nil
}
