package kv_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"dynctl/state"
	"dynctl/state/kv"
)

// Another service declares a model and waits until it serves.
func ExampleClient_PutSpec() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	c, err := kv.Connect(ctx, "nats://127.0.0.1:4322")
	if err != nil {
		log.Print(err)
		return
	}
	defer c.Close()

	key := state.ModelKey("default", "qwen3-8b")
	rev, err := c.PutSpec(ctx, key, []byte(`
apiVersion: dynctl/v1alpha1
kind: Model
metadata: {name: qwen3-8b, server: default}
spec: {model: Qwen/Qwen3-8B, replicas: 2}
`), kv.PutOptions{Author: "autoscaler", Comment: "evening load"})
	if err != nil {
		log.Print(err)
		return
	}
	for change, err := range c.WatchStatuses(ctx) {
		if err != nil {
			log.Print(err)
			return
		}
		ready, _ := change.Status.Condition(state.CondReady)
		if change.Key == key && change.Status.ObservedRevision == rev && ready.Status == state.StatusTrue {
			fmt.Println("ready at", change.Status.Endpoint)
			break
		}
	}
}

// An edit that must not undo somebody else's.
func ExamplePutOptions() {
	ctx := context.Background()
	c, err := kv.Connect(ctx, "nats://127.0.0.1:4322")
	if err != nil {
		log.Print(err)
		return
	}
	defer c.Close()

	key := state.ModelKey("default", "qwen3-8b")
	for {
		e, err := c.GetSpec(ctx, key)
		if err != nil {
			log.Print(err)
			return
		}
		_, err = c.PutSpec(ctx, key, edit(e.Value), kv.PutOptions{IfRevision: &e.Revision, Author: "ann"})
		if errors.Is(err, kv.ErrConflict) {
			continue
		}
		if err != nil {
			log.Print(err)
			return
		}
		return
	}
}

func edit(spec []byte) []byte { return spec }
