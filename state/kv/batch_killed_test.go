package kv

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"dynctl/state/kv/natsd"
)

const (
	// killedDir names the store of a process that writes batches until it is killed.
	killedDir = "DYNCTL_TEST_KILLED_DIR"
	// killedBatch is how many statuses each of them has.
	killedBatch = 3 * BatchLeast
)

// writeBatchesUntilKilled writes the same statuses, each time of another generation, and says
// which one is stored.
func writeBatchesUntilKilled(dir string) {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	s, err := natsd.Start(natsd.Options{StoreDir: dir, Port: -1})
	must(err)
	nc, err := s.Connect()
	must(err)
	js, err := jetstream.New(nc)
	must(err)
	ctx := context.Background()
	_, err = EnsureBuckets(ctx, js)
	must(err)
	c := New(js)
	before, err := c.ListStatuses(ctx)
	must(err)
	var number int
	revisions := make([]uint64, killedBatch)
	for i, st := range before {
		number, revisions[i] = numberOf(st.Generation), st.Revision
	}
	for {
		number++
		for i, p := range c.PutStatuses(ctx, someStatuses(killedBatch, revisions, fmt.Sprintf("%08x", number))) {
			must(p.Err)
			revisions[i] = p.Revision
		}
		fmt.Println(number)
	}
}

func numberOf(generation string) (n int) {
	if _, err := fmt.Sscanf(generation, "%x", &n); err != nil {
		panic(err)
	}
	return n
}

// Of batches that are written while the store's process is killed all of each is there
// afterwards or none, all that was acknowledged is, and none of it looks like damage.
func TestAKillLeavesNoHalfBatch(t *testing.T) {
	dir, acked := t.TempDir(), 0
	for kill := range 8 {
		acked = max(acked, killedAfter(t, dir, rand.N(100*time.Millisecond)))
		s := &store{t: t, opts: natsd.Options{StoreDir: dir, Port: -1}}
		s.start()
		js := s.dial()
		statuses, err := New(js).ListStatuses(t.Context())
		if err != nil || len(statuses) != killedBatch || batchesIn(t, js) != killedBatch {
			t.Fatalf("kill %d: %d statuses, %d of a batch: %v", kill, len(statuses), batchesIn(t, js), err)
		}
		for _, st := range statuses {
			if st.Generation != statuses[0].Generation || numberOf(st.Generation) < acked {
				t.Errorf("kill %d: %s is of batch %s, the first of %s; %d was acknowledged", kill, st.Name, st.Generation, statuses[0].Generation, acked)
			}
		}
		s.stop()
	}
	t.Logf("%d batches", acked)
}

// killedAfter is the last batch that was stored by a process that is killed so long after its
// first one.
func killedAfter(t *testing.T, dir string, delay time.Duration) (acked int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), killedDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if acked == 0 {
			time.AfterFunc(delay, func() { _ = cmd.Process.Kill() })
		}
		if _, err := fmt.Sscan(lines.Text(), &acked); err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
	}
	_, _ = io.Copy(io.Discard, out)
	_ = cmd.Wait() // killed
	if acked == 0 {
		t.Fatal("no batch was stored")
	}
	return acked
}
