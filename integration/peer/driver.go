package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"dynctl/deploy/local"
	"dynctl/state"
)

// tinyModel is the tokenizer that the mocker serves.
const tinyModel = "/tmp/dynctl-tiny-model"

// model is what is to be served: one worker, or one prefill and one decode worker.
type model struct {
	Name   string `json:"name"`
	Disagg bool   `json:"-"`
	Mode   string `json:"mode"`
}

func aggregated(name string) model    { return model{Name: name, Mode: "aggregated"} }
func disaggregated(name string) model { return model{Name: name, Mode: "disagg", Disagg: true} }

// contender makes models serve in its own way.
type contender interface {
	name() string
	// start has these models served on a port, beside what it serves there already. It
	// returns when its maker says that they are, or that they will be.
	start(ctx context.Context, port int, models []model) error
	// stop ends all of it, and returns when nothing is left.
	stop(ctx context.Context) error
}

// driver is a contender's script.
type driver struct{ *local.Helper }

func startDriver(setup local.Config, log io.Writer, script string, args ...string) (driver, error) {
	h, err := setup.StartHelper(log, []string{"RAY_AUTH_MODE=disabled", "RAY_ADDRESS=" + rayAddress(setup)},
		filepath.Join("integration", "peer", script), args...)
	return driver{h}, err
}

func rayAddress(setup local.Config) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(setup.Ports.Ray))
}

type answer struct {
	Seconds float64 `json:"seconds"`
}

func (d driver) ask(command map[string]any) (a answer, err error) {
	data, err := json.Marshal(command)
	if err != nil {
		return a, err
	}
	err = d.Ask(data, &a)
	return a, err
}

// floor makes what dynctl would, with Ray's API alone.
type floor struct {
	driver
	setup  local.Config
	models []model
	ports  map[string]int
}

func (*floor) name() string { return "floor" }

func (f *floor) start(ctx context.Context, port int, models []model) error {
	f.models = append(f.models, models...)
	rendered, err := render(ctx, f.setup, port, f.models)
	if err != nil {
		return err
	}
	_, err = f.ask(map[string]any{"do": "start", "render": rendered, "ports": f.ports})
	return err
}

// freshPorts stand for those that are rendered: of etcd, NATS and the workers.
func (f *floor) freshPorts() error {
	f.models, f.ports = nil, map[string]int{}
	rendered := []string{"2379", "2380", "4222"}
	for i := range 10 {
		rendered = append(rendered, strconv.Itoa(20300+i))
	}
	found, err := local.FreePorts(len(rendered))
	for i, p := range found {
		f.ports[rendered[i]] = p
	}
	return err
}

func (f *floor) stop(context.Context) error {
	_, err := f.ask(map[string]any{"do": "stop"})
	return errors.Join(err, f.freshPorts())
}

// render is what the reconciler would have Ray make.
func render(ctx context.Context, setup local.Config, port int, models []model) (json.RawMessage, error) {
	nodes, specs := filepath.Join(setup.RunDir, "nodes.json"), filepath.Join(setup.RunDir, "specs.yaml")
	node := fmt.Sprintf(`[{"id": "a", "gpus": %d, "cpus": %d, "alive": true}]`, setup.GPUs, setup.CPUs)
	documents := serverDocument("floor", port, "")
	for _, m := range models {
		documents += "---\n" + m.document("floor", "{gpus: 1}")
	}
	if err := errors.Join(os.WriteFile(nodes, []byte(node), 0o644), os.WriteFile(specs, []byte(documents), 0o644)); err != nil {
		return nil, err
	}
	out, err := exec.CommandContext(ctx, filepath.Join(setup.Bin, "dynctl"), "render", specs, "--nodes", nodes).Output()
	if err != nil {
		return nil, fmt.Errorf("dynctl render %s: %w", specs, err)
	}
	return out, nil
}

// serverDocument declares a server; plane is that of its requests, empty: by default.
func serverDocument(server string, port int, plane string) string {
	return fmt.Sprintf("apiVersion: dynctl/v1alpha1\nkind: Server\nmetadata: {name: %s}\nspec: {frontend: {port: %d}, requestPlane: %s}\n",
		server, port, cmp.Or(plane, state.PlaneNATS))
}

func (m model) document(server, resources string, lines ...string) string {
	return fmt.Sprintf("apiVersion: dynctl/v1alpha1\nkind: Model\nmetadata: {name: %s, server: %s}\nspec:\n  model: %s\n  servedName: %s\n"+
		"  engine: mocker\n  mode: %s\n  resources: %s\n%s", m.Name, server, tinyModel, m.Name, m.Mode, resources, strings.Join(lines, ""))
}

// curator is the peer. It has no way to add a model but to stop and start all.
type curator struct {
	driver
	shim   string
	models []model
}

func (*curator) name() string { return "peer" }

func (c *curator) start(_ context.Context, port int, models []model) error {
	if len(c.models) > 0 {
		if _, err := c.ask(map[string]any{"do": "stop"}); err != nil {
			return err
		}
	}
	c.models = append(c.models, models...)
	_, err := c.ask(map[string]any{"do": "start", "models": c.models, "model": tinyModel, "port": port, "shim": c.shim})
	return err
}

func (c *curator) stop(context.Context) error {
	c.models = nil
	_, err := c.ask(map[string]any{"do": "stop"})
	return err
}
