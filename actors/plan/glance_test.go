package plan

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"dynctl/state"
)

// Whether units rise is the same with what is known of another list and without.
func TestIsRising(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	at := func(n int) *state.Unit { return &state.Unit{Server: "s", Unit: fmt.Sprintf("%03d", n)} }
	rising := 0
	for range 5000 {
		var was []*state.Unit
		for n := range 20 {
			was = append(was, at(n))
		}
		now := slices.Clone(was)
		for range random.IntN(4) {
			i, j := random.IntN(len(now)), random.IntN(len(now))
			switch random.IntN(6) {
			case 0:
				now[i], now[j] = now[j], now[i]
			case 1:
				now[i] = at(random.IntN(22))
			case 2:
				now = slices.Insert(now, i, now[j])
			case 3:
				now = slices.Delete(now, min(i, j), max(i, j))
			default:
				now[i] = new(*now[i])
			}
			if len(now) == 0 {
				break
			}
		}
		want := isRising(now, nil)
		if got := isRising(now, was); got != want {
			t.Fatalf("%t with what is known, %t without: %v", got, want, now)
		}
		if want {
			rising++
		}
	}
	if rising < 1000 || rising > 4500 {
		t.Errorf("%d of 5000 lists rise, which proves little", rising)
	}
}
