package actors

import (
	"testing"

	"dynctl/state"

	"pgregory.net/rapid"
)

func TestUnitIDs(t *testing.T) {
	for want, id := range map[string]UnitID{
		"abcd1234_infra_DP0":          {Generation: "abcd1234", Slug: "infra"},
		"abcd1234_qwen_3_DP12":        {Generation: "abcd1234", Slug: "qwen_3", Index: 12},
		"abcd1234_m_prefill_1":        {Generation: "abcd1234", Slug: "m", Role: state.RolePrefill, Index: 1},
		"abcd1234_m_decode_decode_0":  {Generation: "abcd1234", Slug: "m_decode", Role: state.RoleDecode},
		"00000000_1_prefill_decode_3": {Generation: "00000000", Slug: "1_prefill", Role: state.RoleDecode, Index: 3},
	} {
		if got := id.String(); got != want {
			t.Errorf("%+v: got %s, want %s", id, got, want)
		}
	}
}

// Property: no two units have one id, one placement group or one actor, whatever their
// server, slug and role are called.
func TestNamesDiffer(t *testing.T) {
	type named struct {
		server string
		id     UnitID
	}
	draw := func(t *rapid.T, label string) named {
		return named{
			server: rapid.SampledFrom([]string{"a", "a-b", "b"}).Draw(t, label+" server"),
			id: UnitID{
				Generation: rapid.SampledFrom([]string{"abcd1234", "00000000"}).Draw(t, label+" generation"),
				Slug:       rapid.StringMatching(`(m|1)(_(pg|infra|decode|prefill|0|1|m)){0,3}`).Draw(t, label+" slug"),
				Role:       rapid.SampledFrom([]string{"", state.RolePrefill, state.RoleDecode}).Draw(t, label+" role"),
				Index:      rapid.IntRange(0, 11).Draw(t, label+" index"),
			},
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		x, y := draw(t, "one"), draw(t, "other")
		group := func(n named) string { return PlacementGroupName(n.server, n.id.Generation, n.id.String()) }
		actor := func(n named) string { return ActorName(n.server, n.id.Generation, WorkerLabel(n.id, 1, true)) }
		if (x.id.String() == y.id.String()) != (x.id == y.id) {
			t.Fatalf("%+v and %+v are both %s", x.id, y.id, x.id)
		}
		if (group(x) == group(y)) != (x == y) || (actor(x) == actor(y)) != (x == y) {
			t.Fatalf("%+v and %+v are both %s and %s", x, y, group(x), actor(x))
		}
	})
}
