package state

import "testing"

func TestCommonProtocol(t *testing.T) {
	for _, tc := range []struct {
		a, b Protocol
		want int
	}{
		{Protocol{1, 1}, Protocol{1, 1}, 1},
		{Protocol{3, 1}, Protocol{2, 2}, 2},
		{Protocol{3, 2}, Protocol{4, 3}, 3},
		{Protocol{3, 3}, Protocol{2, 1}, 0},
		{Protocol{1, 2}, Protocol{2, 1}, 0}, // one that cannot be
		{Protocol{}, Protocol{1, 1}, 0},
		{Protocol{-1, -5}, Protocol{-1, -5}, 0},
	} {
		if got, back := tc.a.Common(tc.b), tc.b.Common(tc.a); got != tc.want || back != tc.want {
			t.Errorf("%s and %s: %d and %d, want %d", tc.a, tc.b, got, back, tc.want)
		}
	}
	if got := (Agent{}).Speaks(); got != (Protocol{1, 1}) {
		t.Errorf("an agent that does not say speaks %s", got)
	}
}
