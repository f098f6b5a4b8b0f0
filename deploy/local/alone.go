package local

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// Alone starts a stack, or what is missing of it, by the function that it is given,
// while no other program does so: two that start at once would each find nothing
// running, and the one that fails would end what the other one has started. What holds
// them off ends with this program, however it ends. Errors: [ErrStarting], and start's.
func Alone(runDir string, start func() error) error {
	if err := os.MkdirAll(runDir, 0o755); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(runDir, "starting.lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer lock.Close()
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("%w (which has locked %s): wait until it is up, or end it", ErrStarting, lock.Name())
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	return start()
}
