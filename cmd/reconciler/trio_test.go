package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dynctl/state/kv/natsd/natsdtest"
)

// asNATS in the environment makes the test binary a NATS server with that configuration.
const asNATS = "DYNCTL_TEST_AS_NATS"

// runNATS is a NATS server until it is killed.
func runNATS(config string) {
	o, err := server.ProcessConfigFile(config)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	s, err := server.NewServer(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	s.ConfigureLogger()
	s.Start()
	s.WaitForShutdown()
}

// trio are three NATS servers, each a process of its own, as one JetStream.
type trio struct {
	t       *testing.T
	servers [3]*member
}

// member is one of them. What comes to it from the others passes through gates.
type member struct {
	t      *testing.T
	name   string
	config string
	listen string // for clients
	routes string // for the others
	cmd    *exec.Cmd
	output output
	gates  []*natsdtest.Gate // on the ways between it and the others
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func startTrio(t *testing.T) *trio {
	t.Helper()
	c := &trio{t: t}
	for i := range c.servers {
		c.servers[i] = &member{t: t, name: fmt.Sprintf("n%d", i), listen: freeAddress(t), routes: freeAddress(t)}
	}
	for i, m := range c.servers {
		var others []string
		for j, o := range c.servers {
			if i == j {
				continue
			}
			g := natsdtest.NewGate(t, "nats://"+o.routes)
			m.gates, o.gates = append(m.gates, g), append(o.gates, g)
			others = append(others, g.URL())
		}
		m.config = filepath.Join(t.TempDir(), m.name+".conf")
		text := fmt.Sprintf("server_name: %s\nlisten: %s\njetstream {store_dir: %q, max_file_store: 4GB}\n"+
			"cluster {name: trio, listen: %s, no_advertise: true, routes: [%s]}\n", m.name, m.listen, t.TempDir(), m.routes, strings.Join(others, ", "))
		if err := os.WriteFile(m.config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range c.servers {
		m.start()
	}
	t.Cleanup(func() {
		for _, m := range c.servers {
			m.signal(syscall.SIGKILL)
			_ = m.cmd.Wait() // killed
		}
	})
	return c
}

// url names all three.
func (c *trio) url() string {
	var all []string
	for _, m := range c.servers {
		all = append(all, "nats://"+m.listen)
	}
	return strings.Join(all, ",")
}

func (m *member) start() {
	m.t.Helper()
	m.cmd = exec.Command(os.Args[0])
	m.cmd.Env = append(os.Environ(), asNATS+"="+m.config)
	m.cmd.Stdout, m.cmd.Stderr = &m.output, &m.output
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
}

func (m *member) signal(s syscall.Signal) {
	if err := m.cmd.Process.Signal(s); err != nil {
		m.t.Errorf("%s to %s: %v\n%s", s, m.name, err, m.output.String())
	}
}

// troubles are what becomes of one of the servers, and how that ends.
var troubles = []struct {
	name        string
	begin, ends func(*member)
}{
	{"killed", func(m *member) { m.signal(syscall.SIGKILL); _ = m.cmd.Wait() }, (*member).start},
	{"cut off from the others, and reached by clients", func(m *member) {
		for _, g := range m.gates {
			g.Shut()
		}
	}, func(m *member) {
		for _, g := range m.gates {
			g.Open()
		}
	}},
	{"hung", func(m *member) { m.signal(syscall.SIGSTOP) }, func(m *member) { m.signal(syscall.SIGCONT) }},
}

// connect waits until the cluster takes a connection.
func (c *trio) connect() jetstream.JetStream {
	c.t.Helper()
	nc, err := nats.Connect(c.url(), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond), nats.RetryOnFailedConnect(true), nats.Timeout(time.Second), nats.PingInterval(3*time.Second))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		c.t.Fatal(err)
	}
	return js
}

// replicated waits until every stream has so many replicas, all of them current, and returns
// how long that took.
func (c *trio) replicated(js jetstream.JetStream, streams int) time.Duration {
	c.t.Helper()
	began := time.Now()
	for {
		whole, said := 0, ""
		infos := js.ListStreams(c.t.Context())
		for info := range infos.Info() {
			lags := info.Cluster == nil || info.Cluster.Leader == "" || len(info.Cluster.Replicas) != len(c.servers)-1
			for i := 0; !lags && i < len(info.Cluster.Replicas); i++ {
				r := info.Cluster.Replicas[i]
				lags = !r.Current || r.Offline
			}
			if !lags {
				whole++
			}
			said += fmt.Sprintf("%s %+v\n", info.Config.Name, info.Cluster)
		}
		if infos.Err() == nil && whole == streams {
			return time.Since(began)
		}
		if time.Since(began) > 2*time.Minute {
			c.t.Fatalf("%d of %d streams are whole, %v\n%s", whole, streams, infos.Err(), said)
		}
		time.Sleep(100 * time.Millisecond)
	}
}
