package state

import "testing"

func TestCounts(t *testing.T) {
	for _, row := range []struct{ got, want string }{
		{Counted(0, "model"), "0 models"},
		{Counted(1, "model"), "1 model"},
		{Counted(2, "status"), "2 statuses"},
		{OutOf(0, 1, "worker", "healthy"), "0 of 1 worker is healthy"},
		{OutOf(1, 2, "worker", "healthy"), "1 of 2 workers are healthy"},
	} {
		if row.got != row.want {
			t.Errorf("%q, want %q", row.got, row.want)
		}
	}
}
