package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"dynctl/state"
	"dynctl/state/kv"
	"dynctl/state/kv/natsd"
)

// asReconciler in the environment makes the test binary the reconciler.
const asReconciler = "DYNCTL_TEST_AS_RECONCILER"

func TestMain(m *testing.M) {
	if os.Getenv(asReconciler) != "" {
		main()
		return
	}
	if config := os.Getenv(asNATS); config != "" {
		runNATS(config)
		return
	}
	os.Exit(m.Run())
}

// program is a reconciler that runs as a process of its own.
type program struct {
	t      *testing.T
	cmd    *exec.Cmd
	url    string
	data   string // its directory
	config string // where it leaves contexts
	output output
}

// output is what a process says, to be read meanwhile.
type output struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.String()
}

// says waits until it has said something.
func (p *program) says(text string) {
	p.t.Helper()
	for end := time.Now().Add(30 * time.Second); !strings.Contains(p.output.String(), text); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("the reconciler does not say %q:\n%s", text, p.output.String())
		}
	}
}

// runProgram runs the test binary as the reconciler, with what the race detector finds.
func runProgram(t *testing.T, dataDir string, args ...string) *program {
	t.Helper()
	return runBinary(t, os.Args[0], dataDir, args...)
}

// runBinary runs a reconciler.
func runBinary(t *testing.T, path, dataDir string, args ...string) *program {
	t.Helper()
	p := newProgram(t, path, dataDir, args...)
	p.start()
	return p
}

// newProgram is a reconciler that does not run yet.
func newProgram(t *testing.T, path, dataDir string, args ...string) *program {
	t.Helper()
	free := func() string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return l.Addr().String()
	}
	listen := free()
	p := &program{t: t, url: "nats://" + listen, data: dataDir}
	p.cmd = exec.Command(path, append([]string{
		"--data-dir", dataDir, "--listen", listen, "--http", "127.0.0.1:0", "--ray-address", "http://" + free()}, args...)...)
	p.config = t.TempDir()
	p.cmd.Env = append(os.Environ(), asReconciler+"=1", "XDG_CONFIG_HOME="+p.config)
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	return p
}

func (p *program) start() {
	p.t.Helper()
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(p.kill)
}

// built is the reconciler as people run it: the race detector makes of a program one
// of three times the size.
func built(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "reconciler")
	cmd := exec.Command("go", "build", "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	return path
}

// kill ends it with SIGKILL; a second time does nothing.
func (p *program) kill() {
	if p.cmd.ProcessState != nil {
		return
	}
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait() // killed
}

// login is that of a user that the store has from its start.
func (p *program) login(user string) nats.Option {
	return func(o *nats.Options) error {
		login, err := nats.NkeyOptionFromSeed(filepath.Join(p.data, "creds", user+".nk"))
		if err != nil {
			return err
		}
		return login(o)
	}
}

// client is a client once the store answers; without a login that of an admin.
func (p *program) client(login ...nats.Option) *kv.Client {
	p.t.Helper()
	if len(login) == 0 {
		login = []nats.Option{p.login(natsd.UserAdmin)}
	}
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(p.t.Context(), time.Second)
		c, err := kv.Connect(ctx, p.url, login...)
		if err == nil {
			if err = c.Ping(ctx); err == nil {
				cancel()
				return c
			}
			c.Close()
		}
		cancel()
	}
	p.kill()
	p.t.Fatalf("the reconciler does not come up:\n%s", p.output.String())
	return nil
}

// acked is what was acknowledged last of each key.
type acked struct {
	mu   sync.Mutex
	last map[state.Key]kv.SpecEntry
	n    int
}

// write writes specs, one after the other, until that fails.
func (a *acked) write(ctx context.Context, c *kv.Client, writer int) {
	for i := 0; ctx.Err() == nil; i++ {
		key := state.ModelKey("default", fmt.Sprintf("m%d-%d", writer, i%16))
		value := fmt.Appendf(nil, "apiVersion: dynctl/v1alpha1\nkind: Model\nmetadata: {name: m%d-%d}\nspec: {model: x/y%d-%d, replicas: 0}\n# %s\n",
			writer, i%16, writer, i%16, strings.Repeat(strconv.Itoa(rand.Int()), 1+rand.IntN(100)))
		call, cancel := context.WithTimeout(ctx, 2*time.Second)
		revision, err := c.PutSpec(call, key, value, kv.PutOptions{})
		cancel()
		if err != nil {
			return
		}
		a.mu.Lock()
		a.last[key] = kv.SpecEntry{Revision: revision, Value: value}
		a.n++
		a.mu.Unlock()
	}
}

func (a *acked) copy() *acked {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := &acked{last: map[state.Key]kv.SpecEntry{}, n: a.n}
	for k, v := range a.last {
		out.last[k] = v
	}
	return out
}

// lost counts the keys that are older in the store than what was acknowledged.
func (a *acked) lost(t *testing.T, c *kv.Client) int {
	t.Helper()
	have := map[string]kv.SpecEntry{}
	entries, err := c.ListSpecs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		have[e.Key] = e
	}
	lost := 0
	for key, want := range a.last {
		got := have[key.String()]
		if got.Revision < want.Revision || got.Revision == want.Revision && !bytes.Equal(got.Value, want.Value) {
			lost++
			t.Logf("%s: revision %d was acknowledged, %d is there", key, want.Revision, got.Revision)
		}
	}
	return lost
}

// TestKillsLoseNothing: SIGKILL in mid-write, again and again, loses nothing that
// was acknowledged, and never looks like damage. DYNCTL_TEST_KILLS says how often.
func TestKillsLoseNothing(t *testing.T) {
	kills := 20
	if s := os.Getenv("DYNCTL_TEST_KILLS"); s != "" {
		var err error
		if kills, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	all := &acked{last: map[state.Key]kv.SpecEntry{}}
	for range kills {
		p := runProgram(t, dir)
		c := p.client()
		if n := all.lost(t, c); n > 0 {
			t.Fatalf("%d keys lost", n)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var writers sync.WaitGroup
		for w := range 4 {
			writers.Go(func() { all.write(ctx, c, w) })
		}
		time.Sleep(20*time.Millisecond + rand.N(300*time.Millisecond))
		p.kill()
		cancel()
		writers.Wait()
		c.Close()
	}
	p := runProgram(t, dir)
	c := p.client()
	defer c.Close()
	if n := all.lost(t, c); n > 0 {
		t.Errorf("%d keys lost", n)
	}
	t.Logf("%d kills, %d writes acknowledged", kills, all.n)
	if all.n < 10*kills {
		t.Errorf("only %d writes were acknowledged", all.n)
	}
}

// TestAPowerCutLosesNothing: what is on the disk at any moment from the first
// acknowledgement on holds all that was acknowledged. The disk is an image that is
// mounted through a loop device; it is copied while the reconciler runs (but does
// not write just then), and the copy is what a cut would have left.
func TestAPowerCutLosesNothing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this needs root, to mount a file system in a file: run it as root, or leave it out with -skip TestAPowerCutLosesNothing")
	}
	dir := t.TempDir()
	disk := filepath.Join(dir, "disk.img")
	sh(t, "truncate", "-s", "192M", disk)
	sh(t, "mkfs.ext4", "-q", "-F", disk)
	at := mounted(t, disk, filepath.Join(dir, "disk"))

	type cut struct {
		after time.Duration
		image string
		acked *acked
	}
	all := &acked{last: map[state.Key]kv.SpecEntry{}}
	began := time.Now()
	p := runProgram(t, filepath.Join(at, "data"))
	c := p.client()
	defer c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var writers sync.WaitGroup
	defer writers.Wait()
	defer cancel()
	writers.Go(func() { all.write(ctx, c, 0) })
	var cuts []cut
	for _, after := range []time.Duration{0, 200, 500, 1000, 2000, 3000, 4500, 6000, 8000} {
		time.Sleep(time.Until(began.Add(after * time.Millisecond)))
		for after == 0 && all.copy().n == 0 {
			time.Sleep(time.Millisecond)
		}
		if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		one := cut{time.Since(began), filepath.Join(dir, fmt.Sprintf("cut%d.img", len(cuts))), all.copy()}
		sh(t, "cp", "--sparse=always", disk, one.image)
		cuts = append(cuts, one)
		if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
	p.kill()
	cancel()
	for i, one := range cuts {
		left := mounted(t, one.image, filepath.Join(dir, fmt.Sprintf("cut%d", i)))
		after := runProgram(t, filepath.Join(left, "data"))
		client := after.client()
		lost := one.acked.lost(t, client)
		client.Close()
		after.kill()
		t.Logf("cut %s after the first start: %d writes of %d keys acknowledged, %d keys lost", one.after.Round(10*time.Millisecond), one.acked.n, len(one.acked.last), lost)
		if lost > 0 {
			t.Errorf("%d keys lost by a cut after %s", lost, one.after)
		}
	}
}

func sh(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
}

// mounted mounts an image until the test ends.
func mounted(t *testing.T, image, at string) string {
	t.Helper()
	if err := os.Mkdir(at, 0o700); err != nil {
		t.Fatal(err)
	}
	sh(t, "mount", "-o", "loop", image, at)
	t.Cleanup(func() { sh(t, "umount", at) })
	return at
}
