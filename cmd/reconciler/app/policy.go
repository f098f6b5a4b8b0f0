package app

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	"dynctl/cmd/internal/reread"
	"dynctl/state"
	"dynctl/state/policy"
)

// policies is what specs are judged by: the file's last version that could be read.
type policies struct {
	file string
	log  *slog.Logger

	current reread.Value[policy.Policy]
	seen    []byte // what was read last; only look and its caller use it
}

// openPolicies reads the policy. A file that cannot be read has nothing before it that
// could count, so that is an error; without a file the defaults count.
func openPolicies(file string, log *slog.Logger) (*policies, error) {
	p := &policies{file: file, log: log}
	p.current.Set(policy.Default())
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
	p.current.Set(read)
	p.seen = raw
	return p, nil
}

// inForce is the policy that counts now.
func (p *policies) inForce() *policy.Policy {
	if p == nil {
		return nil
	}
	return p.current.Get()
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
	reread.Follow(ctx, func() {
		if p.look() {
			changed()
		}
	})
	return nil
}

// look reads the file, and reports whether another policy counts from now on. One that
// is broken or gone leaves the last one in force: it may be half written.
func (p *policies) look() bool {
	raw, err := readPolicy(p.file)
	if err == nil && bytes.Equal(raw, p.seen) {
		p.current.Keep()
		return false
	}
	var read *policy.Policy
	if err == nil {
		read, err = policy.Parse(p.file, raw)
	}
	if err != nil {
		if text, tell := p.current.Fail(err); tell {
			p.log.Error("the policy's file does not count; the last one that could be read stays in force", "file", p.file, "err", text, "fix", "correct it")
		}
		return false
	}
	p.seen = raw
	p.current.Set(read)
	p.log.Info("another policy is in force; what it denies of what was accepted goes on", "file", p.file)
	return true
}

func checkPolicy(a *App, _ *snapshot) check {
	if a.policies == nil {
		return check{State: checkOK}
	}
	if wrong := a.policies.current.Wrong(); wrong != "" {
		return check{State: checkDegraded, Text: "the file does not count, and the last one that could be read stays in force: " + wrong}
	}
	return check{State: checkOK}
}
