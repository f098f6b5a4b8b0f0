package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"dynctl/deploy/local"
)

// exampleModels are declared by the examples that need no GPU.
var exampleModels = []struct{ file, name string }{
	{"agg-mocker.yaml", "tiny"},
	{"disagg-mocker.yaml", "tiny-disagg"},
}

// errSmoke means that something was not as it should be.
var errSmoke = errors.New("smoke test failed")

// errInterrupted means that an interrupt ended the demo before it was through.
var errInterrupted = errors.New("interrupted before the end")

// show is a stack with the examples being served.
type show struct {
	options
	stack *local.Stack
}

// demo serves the examples until the context ends.
func demo(ctx context.Context, o options) error {
	err := present(ctx, o, func(ctx context.Context, s show) error {
		if err := s.dynctl(ctx, os.Stdout, "status"); err != nil {
			return err
		}
		fmt.Printf("\nops page %s   OpenAI API http://127.0.0.1:%d/v1\nevents, until Ctrl-C:\n\n", s.stack.HTTPURL(), s.frontendPort)
		return s.dynctl(ctx, os.Stdout, "events", "--follow", "--last", "20")
	})
	if errors.Is(err, errInterrupted) {
		return nil // its ordinary end
	}
	return err
}

// smoke checks what the demo shows and that a deleted model goes away.
func smoke(ctx context.Context, o options) error {
	err := present(ctx, o, func(ctx context.Context, s show) error {
		if err := s.checkUnits(ctx); err != nil {
			return err
		}
		if err := s.checkPage(ctx); err != nil {
			return err
		}
		if err := s.dynctl(ctx, os.Stdout, "status"); err != nil {
			return err
		}
		for _, m := range exampleModels {
			if err := s.dynctl(ctx, os.Stdout, "delete", "model/"+m.name); err != nil {
				return err
			}
			if err := s.dynctl(ctx, os.Stdout, "wait", "model/"+m.name, "--for", "deleted", "--timeout", "2m"); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	fmt.Println("smoke: passed")
	return nil
}

// present brings up a stack with an empty store, serves the examples, asks each
// model something, goes on with then, and ends everything whatever happened. It
// returns [errInterrupted] where an interrupt was the end of it.
func present(ctx context.Context, o options, then func(context.Context, show) error) error {
	if err := local.CheckPort(o.frontendPort, "FRONTEND_PORT"); err != nil {
		return err
	}
	o.cfg.DataDir, o.cfg.FreshData = filepath.Join(o.cfg.RunDir, "demo-data"), true
	var stack *local.Stack
	err := local.Alone(o.cfg.RunDir, func() (err error) {
		stack, err = start(ctx, o.cfg)
		return err
	})
	if err != nil {
		return err
	}
	s := show{options: o, stack: stack}
	if err = s.serve(ctx); err == nil {
		err = then(ctx, s)
	}
	interrupted := ctx.Err() != nil
	if err != nil && !interrupted {
		s.explain(ctx)
	}
	fmt.Println("\nending everything")
	if endErr := end(o.cfg.TempDir); endErr != nil {
		return errors.Join(err, endErr)
	}
	if interrupted {
		fmt.Println("down: nothing is left")
		return errInterrupted
	}
	return err
}

func (s show) serve(ctx context.Context) error {
	files := []string{"set"}
	for _, m := range exampleModels {
		files = append(files, filepath.Join(s.root, "examples", m.file))
	}
	server := fmt.Sprintf("apiVersion: dynctl/v1alpha1\nkind: Server\nmetadata: {name: default}\nspec: {frontend: {port: %d}}\n", s.frontendPort)
	cmd := s.command(ctx, append(files, "-")...)
	cmd.Stdin = strings.NewReader(server)
	if err := s.execute(cmd, os.Stdout); err != nil {
		return err
	}
	for _, m := range exampleModels {
		begin := time.Now()
		if err := s.dynctl(ctx, os.Stdout, "wait", "model/"+m.name, "--for", "Ready", "--timeout", "4m"); err != nil {
			return err
		}
		fmt.Printf("%s: ready after another %.1f s\n", m.name, time.Since(begin).Seconds())
	}
	for _, m := range exampleModels {
		var answer bytes.Buffer
		if err := s.dynctl(ctx, io.MultiWriter(os.Stdout, &answer), "chat", m.name, "Say something.", "--max-tokens", "16"); err != nil {
			return err
		}
		if strings.TrimSpace(answer.String()) == "" {
			return fmt.Errorf("%w: %s answered nothing", errSmoke, m.name)
		}
	}
	return nil
}

// checkUnits wants every unit to run.
func (s show) checkUnits(ctx context.Context) error {
	var out bytes.Buffer
	if err := s.dynctl(ctx, &out, "get", "units", "-o", "json"); err != nil {
		return err
	}
	var units []struct{ Unit, State string }
	if err := json.Unmarshal(out.Bytes(), &units); err != nil {
		return fmt.Errorf("%w: get units -o json: %w", errSmoke, err)
	}
	const want = 1 + 2 + 2 // infra, the aggregated workers, prefill and decode
	if len(units) != want {
		return fmt.Errorf("%w: %d units, want %d: %v", errSmoke, len(units), want, units)
	}
	for _, u := range units {
		if u.State != "Running" {
			return fmt.Errorf("%w: unit %s is %s, want Running", errSmoke, u.Unit, u.State)
		}
	}
	return nil
}

func (s show) checkPage(ctx context.Context) error {
	for _, path := range []string{"/", "/metrics", "/healthz", "/readyz"} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.stack.HTTPURL()+path, http.NoBody)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return fmt.Errorf("%w: %w", errSmoke, err)
		}
		if err := resp.Body.Close(); err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%w: GET %s answers %s", errSmoke, req.URL, resp.Status)
		}
	}
	return nil
}

// explain prints what helps to see why a demo failed, before all of it is ended.
func (s show) explain(ctx context.Context) {
	fmt.Println("\nthis went wrong; the state at that moment:")
	for _, args := range [][]string{{"status"}, {"get", "units"}, {"events", "--last", "30"}} {
		if err := s.dynctl(ctx, os.Stdout, args...); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Printf("reconciler's log: %s\n", filepath.Join(s.cfg.RunDir, "reconciler.log"))
}

func (s show) dynctl(ctx context.Context, out io.Writer, args ...string) error {
	return s.execute(s.command(ctx, args...), out)
}

func (s show) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.cfg.Bin, "dynctl"), args...)
	cmd.Env = append(os.Environ(), "DYNCTL_NATS_URL="+s.stack.NATSURL())
	// An interrupt at the terminal reaches it through the context, like any other.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 2 * time.Second
	return cmd
}

func (s show) execute(cmd *exec.Cmd, out io.Writer) error {
	fmt.Printf("$ dynctl %s\n", strings.Join(cmd.Args[1:], " "))
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("dynctl %s: %w", cmd.Args[1], err)
	}
	return nil
}
