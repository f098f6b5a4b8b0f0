package local

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// objectStoreMemory in bytes: nothing of ours goes through Ray's object store,
// and several raylets share one /dev/shm.
const objectStoreMemory = 100_000_000

// NodeHealth has Ray notice a dead node after 3 s, and one that is silent after 9 s, instead
// of 15 and 65. A head without other nodes has nowhere else to run anything.
var NodeHealth = []string{
	"RAY_health_check_initial_delay_ms=1000", "RAY_health_check_period_ms=1000",
	"RAY_health_check_timeout_ms=2000", "RAY_health_check_failure_threshold=3",
}

// rayStartTimeout bounds one `ray start`, which takes about 10 s on 2 cores.
const rayStartTimeout = 180 * time.Second

// StartRay starts the head and then, one after the other (side by side they time
// out on a small machine), the raylets. It returns when all have joined. Ray gives
// a raylet 30 s, which a busy machine may exceed: all of it is tried twice.
func (s *Stack) StartRay(ctx context.Context) error {
	err := s.startRay(ctx)
	if err == nil || ctx.Err() != nil {
		return err
	}
	s.progress("ray: once more from the start, because of: %v", err)
	if err := End(ctx, s.cfg.TempDir); err != nil {
		return err
	}
	return s.startRay(ctx)
}

func (s *Stack) startRay(ctx context.Context) error {
	head := []string{
		"--head", "--port=" + strconv.Itoa(s.cfg.Ports.Ray),
		"--dashboard-host=127.0.0.1", "--dashboard-port=" + strconv.Itoa(s.cfg.Ports.Dashboard),
		"--ray-client-server-port=" + strconv.Itoa(s.cfg.Ports.Client),
		"--temp-dir=" + s.cfg.TempDir,
	}
	gpus := s.cfg.GPUs
	if s.cfg.Nodes > 1 {
		gpus = 0
	}
	s.progress("ray: starting the head (%d GPUs, %d CPUs, dashboard %s)", gpus, s.cfg.CPUs, s.DashboardURL())
	if err := s.rayStart(ctx, "head", gpus, head...); err != nil {
		return err
	}
	if s.cfg.Nodes == 1 {
		return nil
	}
	for i := range s.cfg.Nodes {
		s.progress("ray: starting node %d of %d (%d GPUs)", i+1, s.cfg.Nodes, s.cfg.GPUs)
		if err := s.AddNode(ctx, fmt.Sprintf("node-%d", i+1), s.cfg.GPUs); err != nil {
			return err
		}
	}
	return nil
}

// workerLabel is that of a node beside the head.
const workerLabel = "--labels=ray.io/node-type=worker"

// AddNode starts one more raylet, labelled as a worker node. name tells its log
// file; it must be new.
func (s *Stack) AddNode(ctx context.Context, name string, gpus int) error {
	return s.rayStart(ctx, name, gpus, "--address="+loopback(s.cfg.Ports.Ray), workerLabel)
}

// Distant is where a node is that has a network namespace of its own.
type Distant struct {
	Namespace string // its name
	Address   string // of the node
	Head      string // the address at which it reaches the head
}

// AddDistantNode is AddNode for one in a network namespace.
func (s *Stack) AddDistantNode(ctx context.Context, name string, gpus int, d Distant) error {
	far := *s
	far.within = []string{"ip", "netns", "exec", d.Namespace}
	return far.rayStart(ctx, name, gpus,
		"--address="+net.JoinHostPort(d.Head, strconv.Itoa(s.cfg.Ports.Ray)), "--node-ip-address="+d.Address, workerLabel)
}

// headAnswersWithin bounds the question whether Ray's head answers, which takes 2 s, and on a
// busy machine ten times as long.
const headAnswersWithin = 45 * time.Second

// headAnswers asks the head's tables whether they answer: a node that is to join one that hangs
// is not told so, and gives up after minutes. Errors: [ErrHead].
func (s *Stack) headAnswers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, headAnswersWithin)
	defer cancel()
	cmd := s.ray(ctx, "health-check", "--address", loopback(s.cfg.Ports.Ray))
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	switch {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case ctx.Err() != nil:
		err = fmt.Errorf("nothing within %s", headAnswersWithin)
	}
	return fmt.Errorf("ray: %w at %s (%w): its gcs_server hangs or is about to end; nothing was changed: `make up` again, or `make down` and then `make up`, which ends what runs",
		ErrHead, loopback(s.cfg.Ports.Ray), err)
}

// ray is a command of Ray's.
func (s *Stack) ray(ctx context.Context, args ...string) *exec.Cmd {
	args = slices.Concat(s.within, []string{filepath.Join(s.cfg.Venv, "bin", "ray")}, args)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = s.env
	// An interrupt at the terminal is for the caller, who ends all in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd
}

func (s *Stack) rayLog(name string) string { return filepath.Join(s.cfg.RunDir, "ray-"+name+".log") }

func (s *Stack) rayStart(ctx context.Context, name string, gpus int, args ...string) error {
	agent, err := FreePorts(1)
	if err != nil {
		return err
	}
	log, err := os.Create(s.rayLog(name))
	if err != nil {
		return err
	}
	defer log.Close()
	args = append([]string{
		"start", "--disable-usage-stats",
		"--num-cpus=" + strconv.Itoa(s.cfg.CPUs), "--num-gpus=" + strconv.Itoa(gpus),
		"--object-store-memory=" + strconv.Itoa(objectStoreMemory),
		// The default is one fixed port: a second raylet could not listen on it.
		"--dashboard-agent-listen-port=" + strconv.Itoa(agent[0]),
		// Any free port, where the default is one range that all raylets share.
		"--min-worker-port=0", "--max-worker-port=0",
	}, args...)
	ctx, cancel := context.WithTimeout(ctx, rayStartTimeout)
	defer cancel()
	cmd := s.ray(ctx, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fmt.Errorf("ray %s: %w: %w; what Ray says last in %s:\n%s", name, ErrStart, err, log.Name(), lastWords(log.Name()))
	}
	return nil
}

// lastWordsLines is how much of a log of Ray's an error shows.
const lastWordsLines = 6

// colours are what Ray writes for a terminal, also into a file.
var colours = regexp.MustCompile(`\x1b\[[0-9;]*m`)

// lastWords is the end of a log of Ray's, indented, without its colours and without what its
// Python was doing where: that stays in the file. Empty when it cannot be read.
func lastWords(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	var said []string
	within := false // a traceback, up to the error that it ends with
	for line := range strings.Lines(colours.ReplaceAllString(string(data), "")) {
		line = strings.TrimRight(line, "\r\n ")
		switch {
		case strings.HasPrefix(line, "Traceback (most recent call last)"):
			within = true
		case within && (line == "" || strings.HasPrefix(line, " ")):
		case line != "":
			within = false
			said = append(said, line)
		}
	}
	return lastOf(said, lastWordsLines)
}
