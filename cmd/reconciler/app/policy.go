package app

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"dynctl/state"
	"dynctl/state/policy"
)

// policyLook is how often the policy's file is read. It is not watched: a ConfigMap
// changes by a link to another directory.
const policyLook = time.Second

// policies is what specs are judged by: the file's last version that could be read.
type policies struct {
	file string
	log  *slog.Logger

	current atomic.Pointer[policy.Policy]
	wrong   atomic.Pointer[string] // why the file as it is now does not count; nil: it does
	seen    []byte                 // what was read last; only look and its caller use it
}

// openPolicies reads the policy. A file that cannot be read has nothing before it that
// could count, so that is an error; without a file the defaults count.
func openPolicies(file string, log *slog.Logger) (*policies, error) {
	p := &policies{file: file, log: log}
	p.current.Store(policy.Default())
	if file == "" {
		return p, nil
	}
	raw, err := readPolicy(file)
	if err != nil {
		return nil, fmt.Errorf("--policy: %w; correct it (dynctl schema policy), or start without it for the defaults", err)
	}
	read, err := policy.Parse(file, raw)
	if err != nil {
		return nil, fmt.Errorf("--policy: %w; correct it (dynctl schema policy), or start without it for the defaults", err)
	}
	p.current.Store(read)
	p.seen = raw
	return p, nil
}

// inForce is the policy that counts now.
func (p *policies) inForce() *policy.Policy {
	if p == nil {
		return nil
	}
	return p.current.Load()
}

// readPolicy reads one byte more than a policy may have, and leaves it to the parser to
// refuse that.
func readPolicy(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, state.MaxValueSize+1))
}

// follow reads the file again until ctx ends, and calls changed for each new policy.
func (p *policies) follow(ctx context.Context, changed func()) error {
	if p.file == "" {
		<-ctx.Done()
		return nil
	}
	look := time.NewTicker(policyLook)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
			if p.look() {
				changed()
			}
		}
	}
}

// look reads the file, and reports whether another policy counts from now on. One that
// is broken or gone leaves the last one in force: it may be half written.
func (p *policies) look() bool {
	raw, err := readPolicy(p.file)
	if err == nil && bytes.Equal(raw, p.seen) && p.wrong.Load() == nil {
		return false
	}
	var read *policy.Policy
	if err == nil {
		read, err = policy.Parse(p.file, raw)
	}
	if err != nil {
		text, _, _ := strings.Cut(err.Error(), "\n") // the first fault, without its line
		if was := p.wrong.Swap(&text); was == nil || *was != text {
			p.log.Error("the policy's file does not count; the last one that could be read stays in force", "file", p.file, "err", text, "fix", "correct it")
		}
		return false
	}
	p.wrong.Store(nil)
	if bytes.Equal(raw, p.seen) {
		p.log.Info("the policy's file is again the one in force", "file", p.file)
		return false
	}
	p.seen = raw
	p.current.Store(read)
	p.log.Info("another policy is in force; what it denies of what was accepted goes on", "file", p.file)
	return true
}

func checkPolicy(a *App, _ *snapshot) check {
	if a.policies == nil {
		return check{State: checkOK}
	}
	if wrong := a.policies.wrong.Load(); wrong != nil {
		return check{State: checkDegraded, Text: "the file does not count, and the last one that could be read stays in force: " + *wrong}
	}
	return check{State: checkOK}
}
