package actors

import (
	"testing"

	"dynctl/state"

	"pgregory.net/rapid"
)

func TestParseUnit(t *testing.T) {
	for id, want := range map[string]UnitID{
		"infra":                       {Infra: true},
		"abcd1234_infra":              {Generation: "abcd1234", Infra: true},
		"abcd1234_infra_DP0":          {Generation: "abcd1234", Slug: "infra"},
		"abcd1234_qwen_3_DP12":        {Generation: "abcd1234", Slug: "qwen_3", Index: 12},
		"abcd1234_m_prefill_1":        {Generation: "abcd1234", Slug: "m", Role: state.RolePrefill, Index: 1},
		"abcd1234_m_decode_decode_0":  {Generation: "abcd1234", Slug: "m_decode", Role: state.RoleDecode},
		"abcd1234_m_decode_DP0":       {Generation: "abcd1234", Slug: "m_decode"},
		"abcd1234_m_decode_0_DP0":     {Generation: "abcd1234", Slug: "m_decode_0"},
		"00000000_1_prefill_decode_3": {Generation: "00000000", Slug: "1_prefill", Role: state.RoleDecode, Index: 3},
	} {
		got, ok := ParseUnit(id)
		if !ok || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", id, got, ok, want)
		}
		if got.String() != id {
			t.Errorf("%s comes back as %s", id, got)
		}
	}
	for _, id := range []string{"", "qwen_DP0", "abcd1234_DP0", "ABCD1234_m_DP0", "abcd1234_m_DP00", "abcd1234_m_DP-1", "abcd1234_m_router_0", "abcd1234_M_DP0", "abcd1234_m_DP0\n"} {
		if got, ok := ParseUnit(id); ok {
			t.Errorf("%q is read as %+v", id, got)
		}
	}
}

func TestNamesOfOtherServers(t *testing.T) {
	for _, row := range []struct {
		name, server string
		want         Owned
		ok           bool
	}{
		{"dynamo_default_abcd1234_pg_infra", "default", Owned{Server: "default", Generation: "abcd1234", Unit: "infra"}, true},
		{"dynamo_default_abcd1234_pg_infra", "", Owned{Server: "default", Generation: "abcd1234", Unit: "infra"}, true},
		{"dynamo_default_abcd1234_pg_q_DP0", "default", Owned{Server: "default", Generation: "abcd1234", Unit: "abcd1234_q_DP0"}, true},
		{"dynamo_default_two_abcd1234_pg_infra", "default", Owned{}, false},
		{"dynamo_default_two_abcd1234_pg_infra", "", Owned{}, false},
		{"dynamo_default-two_abcd1234_pg_infra", "default", Owned{}, false},
		{"dynamo_default_abcd1234_12345678_pg_infra", "default", Owned{}, false},
		{"dynamo_default_abcd123_pg_infra", "default", Owned{}, false},
		{"dynamo_default_abcd1234_Dynamo_ETCD", "default", Owned{}, false},
		{"dynamo_default_abcd1234_pg_", "default", Owned{}, false},
		{"other_dynamo_default_abcd1234_pg_infra", "", Owned{}, false},
	} {
		if got, ok := ParsePlacementGroupName(row.name, row.server); ok != row.ok || ok && got != row.want {
			t.Errorf("%s of %q: got %+v, %v", row.name, row.server, got, ok)
		}
	}
	got, ok := ParseActorName("dynamo_default_abcd1234_Dynamo_DP0_TP0_Qwen3-0.6B", "default")
	if want := (Owned{Server: "default", Generation: "abcd1234", Label: "Dynamo_DP0_TP0_Qwen3-0.6B"}); !ok || got != want {
		t.Errorf("an actor of the anchor: got %+v, %v", got, ok)
	}
	if _, ok := ParseActorName("dynamo_default_two_abcd1234_Dynamo_ETCD", "default"); ok {
		t.Error("the server default owns an actor of default_two")
	}
}

// Property: a name says all that it was made of.
func TestNamesComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		server := rapid.StringMatching(`[a-z0-9]([-a-z0-9]{0,6}[a-z0-9])?`).Draw(t, "server")
		id := UnitID{
			Generation: rapid.StringMatching(`[0-9a-f]{8}`).Draw(t, "generation"),
			Slug:       rapid.StringMatching(`[a-z0-9]+(_(pg|infra|decode|prefill|[a-z0-9]+)){0,3}`).Draw(t, "slug"),
			Role:       rapid.SampledFrom([]string{"", state.RolePrefill, state.RoleDecode}).Draw(t, "role"),
			Index:      rapid.IntRange(0, 99).Draw(t, "index"),
		}
		if got, ok := ParseUnit(id.String()); !ok || got != id {
			t.Fatalf("%s: got %+v, %v, want %+v", id, got, ok, id)
		}
		name := PlacementGroupName(server, id.Generation, id.String())
		if got, ok := ParsePlacementGroupName(name, ""); !ok || got != (Owned{Server: server, Generation: id.Generation, Unit: id.String()}) {
			t.Fatalf("%s: got %+v, %v", name, got, ok)
		}
		label := WorkerLabel(id, 1, true)
		actor := ActorName(server, id.Generation, label)
		if got, ok := ParseActorName(actor, server); !ok || got.Label != label {
			t.Fatalf("%s: got %+v, %v", actor, got, ok)
		}
	})
}
