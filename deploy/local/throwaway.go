package local

import (
	"os"
	"path/filepath"
)

// Throwaway is where a stack for one run lies: directories of its own, below .run of the
// current directory and in /tmp, where paths have to be short for Ray's sockets, and free
// ports. Whoever makes it removes the directories.
func Throwaway(name string) (Config, error) {
	runs, err := filepath.Abs(".run")
	if err != nil {
		return Config{}, err
	}
	ports, err := FreePorts(5)
	if err != nil {
		return Config{}, err
	}
	if err := os.MkdirAll(runs, 0o755); err != nil {
		return Config{}, err
	}
	dir, err := os.MkdirTemp(runs, name+"-")
	if err != nil {
		return Config{}, err
	}
	tmp, err := os.MkdirTemp("/tmp", "dynctl-"+name+"-")
	if err != nil {
		return Config{}, err
	}
	return Config{
		RunDir: dir, DataDir: filepath.Join(dir, "data"), TempDir: tmp, Progress: os.Stderr,
		Ports: Ports{Ray: ports[0], Dashboard: ports[1], Client: ports[2], NATS: ports[3], HTTP: ports[4]},
	}, nil
}
