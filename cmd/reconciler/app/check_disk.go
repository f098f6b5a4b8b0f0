package app

import "fmt"

// diskLow is how little may be free before that is said, in bytes: some minutes of
// what a busy fleet writes.
const diskLow = 256 << 20

// checkDisk looks at the disk of the embedded NATS; an external one has its own.
func checkDisk(a *App, _ *snapshot) (string, string) {
	if a.natsd == nil {
		return checkOK, ""
	}
	d, err := a.natsd.Disk()
	switch {
	case d.Failed:
		return checkDegraded, fmt.Sprintf("nothing can be written to %s (%d MiB free): specs and events are refused, what runs goes on; "+
			"free some space, it heals by itself", d.Dir, d.Free>>20)
	case err != nil:
		return checkDegraded, err.Error()
	case d.Free < diskLow:
		return checkDegraded, fmt.Sprintf("%d MiB are free at %s, and without any specs are refused: free some space", d.Free>>20, d.Dir)
	}
	return checkOK, ""
}
