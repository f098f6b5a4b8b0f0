package local

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// Guard is a process that ends a stack when the program that asked for it is
// gone, however it went: it waits for the end of a pipe that only that program
// holds.
type Guard struct {
	cmd  *exec.Cmd
	pipe io.Closer
}

// StartGuard starts the guard of a stack: `bin/local guard`, in a session of its
// own, with its output in RunDir/guard.log.
func StartGuard(cfg Config) (*Guard, error) {
	log, err := os.Create(filepath.Join(cfg.RunDir, "guard.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(cfg.Bin, "local"), "guard", "--temp-dir", cfg.TempDir)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("guard: %w: %w", ErrStart, err)
	}
	return &Guard{cmd: cmd, pipe: pipe}, nil
}

// Close ends the stack through the guard and waits until both are gone.
func (g *Guard) Close() error {
	if err := g.pipe.Close(); err != nil {
		return err
	}
	return g.cmd.Wait()
}

// Watch is the guard itself: it ends the stack at the end of in.
func Watch(ctx context.Context, in io.Reader, tempDir string) error {
	if _, err := io.Copy(io.Discard, in); err != nil {
		return err
	}
	return Down(ctx, tempDir)
}
