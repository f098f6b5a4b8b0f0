//go:build integration

package integration

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dynctl/actors/offline"
	"dynctl/state"
)

// TestProcessesRunWhatRenderPrints: the command line and the environment of every
// process are those that `dynctl render` prints for the same documents, once the
// placeholders are resolved and with what closes etcd and NATS; actors and groups carry the names that it prints.
func TestProcessesRunWhatRenderPrints(t *testing.T) {
	s := serving(t)
	plain := s.Mocker("plain", 1)
	split := s.MockerDisagg("split", 1, 1, "engineArgs: {max_model_len: 4096, block_size: 16}",
		"env: {GREETING: 'hello {RD}'}", "router: {mode: kv, kvEvents: true}")
	s.add("split", split)
	want := s.render(plain, split)
	units := map[string]state.Unit{}
	for _, u := range s.Units() {
		units[u.PlacementGroup] = s.Observed(u.Unit)
	}

	var groups, names []string
	for _, g := range want.PlacementGroups {
		groups = append(groups, g.Name)
	}
	for _, a := range want.Actors {
		names = append(names, a.Name)
		t.Run(a.Name, func(t *testing.T) {
			s.requireRuns(t, a, units[a.PlacementGroup], units[groups[0]])
		})
	}
	prefix := "dynamo_" + s.Name + "_"
	requireNames(t, "placement groups", s.Env.rayState(t, "placement_groups", prefix), "CREATED", groups)
	requireNames(t, "actors", s.Env.rayState(t, "actors", prefix), "ALIVE", names)
}

func requireNames(t *testing.T, what string, rows []rayRow, living string, want []string) {
	t.Helper()
	var have []string
	for _, r := range rows {
		if r.State != living {
			continue
		}
		have = append(have, r.Name)
		if what == "actors" && r.Namespace != "nemo_curator_dynamo" {
			t.Errorf("actor %s is in the namespace %s", r.Name, r.Namespace)
		}
	}
	slices.Sort(have)
	slices.Sort(want)
	if !slices.Equal(have, want) {
		t.Errorf("Ray has the %s\n%v\nwant\n%v", what, have, want)
	}
}

// render is what dynctl prints for this server and some models on the cluster's nodes.
func (s *Server) render(models ...string) (out offline.Rendered) {
	s.t.Helper()
	dir := s.t.TempDir()
	files := map[string]string{
		"nodes.json": s.Env.run(s.t, "", "get", "nodes", "-o", "json"),
		"spec.yaml":  s.document() + strings.Join(models, ""),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			s.t.Fatal(err)
		}
	}
	text := s.Env.run(s.t, "", "render", filepath.Join(dir, "spec.yaml"), "--nodes", filepath.Join(dir, "nodes.json"), "-o", "json")
	decode(s.t, text, &out)
	if len(out.Rejected)+len(out.Pending) > 0 {
		s.t.Fatalf("render rejects %v and leaves %v", out.Rejected, out.Pending)
	}
	return out
}

// requireRuns compares a process with what render prints of it.
func (s *Server) requireRuns(t *testing.T, want offline.RenderedActor, unit, infra state.Unit) {
	t.Helper()
	a := actor(unit, want.Name)
	if a.ChildPID == 0 {
		t.Fatalf("no process of %s runs", want.Name)
	}
	if a.Bundle != want.Bundle || len(a.GPUs) != want.GPUs {
		t.Errorf("bundle %d with the GPUs %v, want bundle %d with %d", a.Bundle, a.GPUs, want.Bundle, want.GPUs)
	}
	resolved := s.resolver(t, want, unit, a, infra)
	argv := commandLine(t, a.ChildPID)
	for i, w := range want.Argv {
		want.Argv[i] = resolved.Replace(w)
	}
	granted := beyondRender(&want, a, resolved)
	argv[0], want.Argv[0] = filepath.Base(argv[0]), filepath.Base(want.Argv[0])
	if !slices.Equal(argv, want.Argv) {
		t.Errorf("runs\n%q\nwant\n%q", argv, want.Argv)
	}

	env := environment(t, a.ChildPID)
	managed := maps.Clone(env)
	maps.DeleteFunc(managed, func(name, _ string) bool {
		return !strings.HasPrefix(name, "ETCD_") && !strings.HasPrefix(name, "NATS_") && !strings.HasPrefix(name, "DYN_") && !strings.HasPrefix(name, "RAY_")
	})
	for name, v := range want.Env {
		value := v.Value
		if name != "GREETING" { // what a user wrote is not expanded
			value = resolved.Replace(value)
		}
		if env[name] != value {
			t.Errorf("%s=%q, want %q", name, env[name], value)
		}
		delete(managed, name)
	}
	if have := slices.Sorted(maps.Keys(managed)); !slices.Equal(have, granted) {
		t.Errorf("beyond what render prints it has %v, want %v", have, granted)
	}
	if _, ok := env["PYTHONHASHSEED"]; ok != (want.Env["PYTHONHASHSEED"] != state.EnvValue{}) {
		t.Errorf("PYTHONHASHSEED=%q, want %+v", env["PYTHONHASHSEED"], want.Env["PYTHONHASHSEED"])
	}
}

// beyondRender is what the actor adds to what render prints: the credentials of etcd and NATS,
// which no template has, and the address on which alone these listen. It returns the names
// of the variables, sorted, and puts the rest into want.
func beyondRender(want *offline.RenderedActor, a state.Actor, resolved *strings.Replacer) []string {
	switch {
	case strings.HasSuffix(want.Name, "_ETCD"):
		for i, w := range want.Argv {
			want.Argv[i] = strings.Replace(w, "0.0.0.0", a.IP, 1)
		}
		return []string{"ETCD_AUTH_TOKEN", "ETCD_BCRYPT_COST"}
	case strings.HasSuffix(want.Name, "_NATS"):
		want.Argv = append(want.Argv, "-a", a.IP, "-c", resolved.Replace("{RD}/nats_config_data"))
		return nil
	}
	return []string{"ETCD_AUTH_PASSWORD", "ETCD_AUTH_USERNAME", "NATS_AUTH_PASSWORD", "NATS_AUTH_USERNAME"}
}

// resolver puts the cluster's own paths, addresses and ports in place of what
// render prints, which knows the seeds alone.
func (s *Server) resolver(t *testing.T, want offline.RenderedActor, unit state.Unit, a state.Actor, infra state.Unit) *strings.Replacer {
	t.Helper()
	session, err := filepath.EvalSymlinks(filepath.Join(s.Env.Stack.TempDir(), "session_latest"))
	if err != nil {
		t.Fatal(err)
	}
	ports := map[string]int{}
	for _, x := range infra.Actors {
		maps.Copy(ports, x.Ports)
	}
	seeds := map[string]string{"etcd": "2379", "etcd-peer": "2380", "nats": "4222"}
	pairs := []string{
		"{py}", filepath.Join(s.Env.cfg.Venv, "bin", "python"),
		"{RD}", filepath.Join(session, "nemo_curator_dynamo_"+s.Name+"_"+unit.Unit),
		"{gpus}", strings.Join(a.GPUs, ","),
		"{ip:infra/0}", a.IP, "{ip:infra/1}", a.IP,
	}
	for name, seed := range seeds {
		if ports[name] < 2379 || ports[name] >= 10002 && ports[name] <= 19999 {
			t.Errorf("port %s is %d", name, ports[name])
		}
		pairs = append(pairs, ":"+seed, fmt.Sprintf(":%d", ports[name]))
		if name == "nats" && strings.HasSuffix(a.Name, "_NATS") {
			pairs = append(pairs, seed, fmt.Sprint(ports[name]))
		}
	}
	if system := want.Env["DYN_SYSTEM_PORT"].Value; system != "" {
		if a.Ports["system"] < 20300 {
			t.Errorf("the system port is %d, want 20300 or the next that is free", a.Ports["system"])
		}
		pairs = append(pairs, system, fmt.Sprint(a.Ports["system"]))
	}
	return strings.NewReplacer(pairs...)
}
