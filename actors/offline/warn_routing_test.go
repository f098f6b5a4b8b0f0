package offline

import (
	"strings"
	"testing"
)

// What a server says of routing counts for the frontend; a model whose workers carry a
// routing follows none of it.
func TestWarningsOfAServersRouting(t *testing.T) {
	const agg, disagg, own = "spec: {model: a/m, engine: mocker}", "spec: {model: a/m, engine: mocker, mode: disagg}",
		"spec: {model: a/m, engine: mocker, router: {mode: kv}}"
	for _, tt := range []struct{ name, server, model, path, text string }{
		{"apply beside an explicit mode", "router: {mode: kv, apply: model}", agg, "spec.router.apply", "auto"},
		{"apply that is so", "router: {mode: kv, apply: frontend}", agg, "", ""},
		{"apply by default", "router: {mode: kv}", agg, "", ""},
		{"arguments of kv under auto", "router: {args: {router_temperature: 1}}", agg, "spec.router.args.router_temperature", "spec.router.mode to kv"},
		{"of kv under another mode", "router: {mode: random, args: {no_router_track_active_blocks: true}}", agg, "spec.router.args.no_router_track_active_blocks", "random"},
		{"of kv under kv", "router: {mode: kv, args: {router_temperature: 1}}", agg, "", ""},
		{"of any router", "router: {mode: random, args: {active_decode_blocks_threshold: 0.5}}", agg, "", ""},
		{"under a model that carries its routing", "router: {args: {router_temperature: 1}}", disagg, "spec.router.args.router_temperature", "have the frontend route them"},
		{"the frontend carries it", "router: {apply: frontend, args: {router_temperature: 1}}", disagg, "", ""},
		{"a model with a mode of its own", "router: {mode: kv}\n  frontend: {args: {active_decode_blocks_threshold: 0.5}}", own,
			"spec.frontend.args.active_decode_blocks_threshold", "dynamoArgs"},
		{"load-aware routes by kv", "router: {args: {load_aware: true}}", agg, "spec.router.args.load_aware", "mode to kv"},
		{"load-aware under kv", "router: {mode: kv, args: {load_aware: true}}", agg, "", ""},
		{"a NATS that nothing asks", "requestPlane: tcp\n  eventPlane: zmq\n  nats: {url: nats://h:4222}", agg, "spec.nats.url", "requestPlane"},
		{"a NATS for events", "requestPlane: tcp\n  nats: {url: nats://h:4222}", agg, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := offline(t, "apiVersion: dynctl/v1alpha1\nkind: Server\nmetadata: {name: default}\nspec:\n  "+tt.server+
				"\n---\napiVersion: dynctl/v1alpha1\nkind: Model\nmetadata: {name: m}\n"+tt.model+"\n")
			if len(r.Rejected) > 0 {
				t.Fatal(r.Rejected[0].Message)
			}
			switch {
			case tt.path == "" && len(r.Warnings) > 0:
				t.Errorf("got %v, want none", r.Warnings)
			case tt.path != "" && (len(r.Warnings) != 1 || r.Warnings[0].Path != tt.path || !strings.Contains(r.Warnings[0].Message, tt.text)):
				t.Errorf("got %v, want one of %s with %q", r.Warnings, tt.path, tt.text)
			}
		})
	}
}

// A variable by which Dynamo reads the limit counts as the flag would.
func TestAMigrationLimitOfTheEnvironmentCounts(t *testing.T) {
	r := offline(t, "apiVersion: dynctl/v1alpha1\nkind: Server\nmetadata: {name: default}\nspec: {env: {DYN_MIGRATION_LIMIT: '0'}}\n")
	for _, a := range r.Actors {
		if argv := strings.Join(a.Argv, " "); strings.Contains(argv, "--migration-limit") {
			t.Errorf("%s: a flag wins over the variable", argv)
		}
	}
}
