package offline

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dynctl/actors"
	"dynctl/actors/place"
	"dynctl/state"
)

// caseContext is what a rule may look at besides the world.
type caseContext struct {
	server      string
	generations map[string]string // by slug
	infra       string            // generation of the infra unit
	models      []curatorModel
	apply       string // router.apply of the server
	routerMode  string // of the server
	runtimeDir  string
	external    bool // etcd and NATS are the spec's, not the infra unit's
	firstSystem int
	book        *portBook
}

// rule turns what Curator does into what the contract asks for, in every case alike.
type rule struct {
	name  string // FIX and NEW as in the contract; MAP: the same in other words
	apply func(w *world, c caseContext)
}

var rules = []rule{
	{"MAP runtime directory, interpreter and addresses are placeholders", mapPlaceholders},
	{"MAP models start by name", sortByModel},
	{"FIX labels hold the slug, where the anchor has the text after the last slash", fixLabels},
	{"FIX endpoints carry the generation, the frontend discovers by prefix", fixNamespaces},
	{"FIX router modes are written with hyphens", fixRouterMode},
	{"NEW disaggregated workers carry their routing, the frontend none", newRouterFromBirth},
	{"NEW the frontend migrates requests and has fixed thread counts", newFrontend},
	{"FIX no port is given twice, and the frontend's is a promise", fixPorts},
	{"NEW the master port of several nodes is given", newMasterPort},
	{"FIX aggregated workers that publish KV events hash alike", fixHashSeed},
	{"NEW every worker has a system port and its GPUs by id", newWorkerEnv},
	{"FIX names are those of the generation", fixGenerations},
}

// applyRules turns a recorded world into the one wanted of us.
func applyRules(w *world, c caseContext) *world {
	for _, r := range rules {
		r.apply(w, c)
	}
	w.ports = nil
	return w
}

func mapPlaceholders(w *world, c caseContext) {
	dir := regexp.MustCompile("^" + regexp.QuoteMeta(c.runtimeDir) + "(/|$)")
	for i := range w.Actors {
		a := &w.Actors[i]
		a.replaceAll(dir, "{RD}$1")
		if !c.external {
			a.replaceAll(regexp.MustCompile(`^http://10\.0\.0\.1:`), "http://{ip:infra/0}:")
			a.replaceAll(regexp.MustCompile(`^nats://10\.0\.0\.1:`), "nats://{ip:infra/1}:")
		}
		if at := a.index("--master-addr"); at >= 0 {
			a.Argv[at+1] = "{ip:" + unitOfGroup(a.Group) + "/0}"
		}
	}
}

func unitOfGroup(group string) string {
	_, rest, _ := strings.Cut(group, "_pg_")
	return recordedGeneration + "_" + rest
}

// slugOf is the slug of the model that a group belongs to.
func (c caseContext) slugOf(group string) string {
	for _, m := range c.models {
		slug := state.Slug(m.servedName())
		if regexp.MustCompile(`_pg_` + slug + `_(DP|prefill_|decode_)[0-9]+$`).MatchString(group) {
			return slug
		}
	}
	return ""
}

func sortByModel(w *world, c caseContext) {
	order := func(group string, frontend bool) string {
		switch slug := c.slugOf(group); {
		case frontend:
			return "~"
		default:
			return strings.ReplaceAll(slug, "_", "-")
		}
	}
	slices.SortStableFunc(w.Groups, func(a, b RenderedGroup) int { return cmp.Compare(order(a.Name, false), order(b.Name, false)) })
	slices.SortStableFunc(w.Actors, func(a, b worldActor) int {
		return cmp.Compare(order(a.Group, a.isFrontend()), order(b.Group, b.isFrontend()))
	})
	slices.SortStableFunc(w.ports, func(a, b recordedOp) int { return cmp.Compare(order(a.PG, false), order(b.PG, false)) })
}

func fixLabels(w *world, c caseContext) {
	for i := range w.Actors {
		a := &w.Actors[i]
		for _, m := range c.models {
			served := m.servedName()
			short := served[strings.LastIndex(served, "/")+1:]
			slug := state.Slug(served)
			if c.slugOf(a.Group) == slug {
				a.Name = strings.TrimSuffix(a.Name, "_"+short) + "_" + slug
			}
		}
	}
}

func fixNamespaces(w *world, _ caseContext) {
	for i := range w.Actors {
		a := &w.Actors[i]
		if at := a.index("--endpoint"); at >= 0 && a.isWorker() {
			dot := strings.Index(a.Argv[at+1], ".")
			a.Argv[at+1] = a.Argv[at+1][:dot] + "-" + recordedGeneration + a.Argv[at+1][dot:]
		}
		if at := a.index("--namespace"); at >= 0 && a.isFrontend() {
			a.Argv[at], a.Argv[at+1] = "--namespace-prefix", a.Argv[at+1]+"-"
		}
	}
}

func fixRouterMode(w *world, _ caseContext) {
	for i := range w.Actors {
		if at := w.Actors[i].index("--router-mode"); at >= 0 {
			w.Actors[i].Argv[at+1] = strings.ReplaceAll(w.Actors[i].Argv[at+1], "_", "-")
		}
	}
}

func newRouterFromBirth(w *world, c caseContext) {
	if c.apply != state.ApplyModel || c.routerMode != state.RouterAuto {
		return
	}
	for i := range w.Actors {
		a := &w.Actors[i]
		if at := a.index("--router-mode"); at >= 0 && a.isFrontend() {
			a.Argv = slices.Delete(a.Argv, at, a.afterRouter())
			delete(a.Env, "PYTHONHASHSEED")
		}
		if at := a.index("--disaggregation-mode"); at >= 0 {
			a.insert(at, "--router-mode", "kv", c.eventsFlag(a.Group))
		}
	}
}

// eventsFlag is on but where a prefill worker explicitly keeps the hybrid KV cache.
func (c caseContext) eventsFlag(group string) string {
	for _, m := range c.models {
		if c.slugOf(group) == state.Slug(m.servedName()) && m.model().Spec.HybridKVCache(state.RolePrefill) {
			return "--no-router-kv-events"
		}
	}
	return "--router-kv-events"
}

// afterRouter is the index behind the flags of planes and router.
func (a worldActor) afterRouter() int {
	at := a.index("--event-plane") + 2
	if at < len(a.Argv) && a.Argv[at] == "--router-mode" {
		at += 2
	}
	if at < len(a.Argv) && strings.HasSuffix(a.Argv[at], "router-kv-events") {
		at++
	}
	return at
}

func newFrontend(w *world, _ caseContext) {
	for i := range w.Actors {
		a := &w.Actors[i]
		if !a.isFrontend() {
			continue
		}
		if a.index("--migration-limit") < 0 {
			a.insert(a.afterRouter(), "--migration-limit", "3")
		}
		a.Env["DYN_RUNTIME_NUM_WORKER_THREADS"] = "8"
		a.Env["DYN_RUNTIME_MAX_BLOCKING_THREADS"] = "16"
	}
}

// foundPorts are the ports that were searched for again, each by the recorded one.
type foundPorts struct {
	byActor map[string]map[string]string
	infra   map[string]string // of etcd and NATS, for all that name them
}

func (f *foundPorts) note(actor string, got, now int) {
	if f.byActor[actor] == nil {
		f.byActor[actor] = map[string]string{}
	}
	f.byActor[actor][strconv.Itoa(got)] = strconv.Itoa(now)
}

// searchPorts searches in the recorded order, as if all units shared one node; the
// frontend's port comes first, for it is given.
func searchPorts(w *world, c caseContext) foundPorts {
	f := foundPorts{byActor: map[string]map[string]string{}, infra: map[string]string{}}
	given := func(op recordedOp) bool {
		return strings.HasSuffix(op.PG, "_pg_infra") && op.Bundle == place.BundleFrontend
	}
	for _, op := range w.ports {
		if given(op) {
			c.book.taken[op.Start] = true
			f.note(actors.Prefix(c.server, recordedGeneration)+"_"+actors.LabelFrontend, op.Got, op.Start)
		}
	}
	for _, op := range w.ports {
		if given(op) {
			continue
		}
		now := c.book.free(op.Start, 1)
		for _, a := range w.Actors {
			if a.Group == op.PG && a.Bundle == op.Bundle {
				f.note(a.Name, op.Got, now)
			}
		}
		if strings.HasSuffix(op.PG, "_pg_infra") {
			f.infra[strconv.Itoa(op.Got)] = strconv.Itoa(now)
		}
	}
	return f
}

// fixPorts puts the ports that were searched for again in place of the recorded ones.
func fixPorts(w *world, c caseContext) {
	found := searchPorts(w, c)
	number := regexp.MustCompile(`\b\d{4,5}\b`)
	for i := range w.Actors {
		a := &w.Actors[i]
		for j, word := range a.Argv {
			a.Argv[j] = number.ReplaceAllStringFunc(word, func(n string) string { return cmp.Or(found.byActor[a.Name][n], n) })
		}
		for name, value := range a.Env {
			book := found.byActor[a.Name]
			if name == "ETCD_ENDPOINTS" || name == "NATS_SERVER" {
				book = found.infra
			}
			a.Env[name] = number.ReplaceAllStringFunc(value, func(n string) string { return cmp.Or(book[n], n) })
		}
	}
}

func newMasterPort(w *world, c caseContext) {
	given := map[string]string{}
	for i := range w.Actors {
		a := &w.Actors[i]
		if at := a.index("--master-addr"); at >= 0 {
			if given[a.Group] == "" {
				given[a.Group] = strconv.Itoa(c.book.free(29500, 1))
			}
			a.insert(at+2, "--master-port", given[a.Group])
		}
	}
}

func fixHashSeed(w *world, _ caseContext) {
	publishes := map[string]bool{}
	for _, a := range w.Actors {
		if at := a.index("--kv-events-config"); at >= 0 && strings.Contains(a.Argv[at+1], `"enable_kv_cache_events": true`) {
			publishes[a.Group] = true
		}
	}
	for _, a := range w.Actors {
		if publishes[a.Group] {
			a.Env["PYTHONHASHSEED"] = "0"
		}
	}
}

func newWorkerEnv(w *world, c caseContext) {
	next := c.firstSystem
	for _, a := range w.Actors {
		if !a.isWorker() {
			continue
		}
		a.Env["DYN_SYSTEM_PORT"] = strconv.Itoa(next)
		a.Env["DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS"] = `["generate"]`
		a.Env["CUDA_VISIBLE_DEVICES"] = "{gpus}"
		a.Env[state.ReadyTimeoutEnv] = "1800" // NEW: it waits as long as startupTimeout says
		next++
	}
}

// fixGenerations puts each model's own generation in place of the one short id.
func fixGenerations(w *world, c caseContext) {
	generation := func(group string) string {
		if slug := c.slugOf(group); slug != "" {
			return c.generations[slug]
		}
		return c.infra
	}
	old := regexp.MustCompile(recordedGeneration)
	for i := range w.Actors {
		a := &w.Actors[i]
		by := generation(a.Group)
		a.Name = old.ReplaceAllString(a.Name, by)
		a.replaceAll(old, by)
		a.Group = old.ReplaceAllString(a.Group, by)
	}
	for i := range w.Groups {
		w.Groups[i].Name = old.ReplaceAllString(w.Groups[i].Name, generation(w.Groups[i].Name))
	}
}

// reasonOfKind is our reason where the anchor fails. An empty one means that we
// do not fail: the failure was injected.
func reasonOfKind(kind string) (string, bool) {
	reasons := map[string]string{
		"tp_lt_1":              state.ReasonBadParallelSize,
		"type":                 state.ReasonBadParallelSize,
		"no_even_split":        actors.ReasonTPDoesNotFit,
		"disagg_multi_node":    actors.ReasonTPDoesNotFit,
		"disagg_multi_node_tp": actors.ReasonTPDoesNotFit,
		"no_gpu_nodes":         actors.WaitRayWithoutGPUs,
		"only_head_node":       actors.ReasonNoLabelledNodes,
		"gpu_overcommit":       actors.ReasonInsufficientGPUs,
		"injected":             "",
	}
	reason, ok := reasons[kind]
	return reason, ok
}

// sameWorld compares group by group and actor by actor.
func sameWorld(t *testing.T, got, want *world) {
	t.Helper()
	compare(t, "group", got.Groups, want.Groups, func(g RenderedGroup) string { return g.Name })
	compare(t, "actor", got.Actors, want.Actors, func(a worldActor) string { return a.Name })
}

func compare[T any](t *testing.T, what string, got, want []T, name func(T) string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(want):
			t.Errorf("%s %s is not wanted", what, name(got[i]))
		case i >= len(got):
			t.Errorf("%s %s is missing", what, name(want[i]))
		default:
			if g, w := mustJSON(t, got[i]), mustJSON(t, want[i]); g != w {
				t.Errorf("%s %d:\n%s", what, i, firstDifference(g, w))
			}
		}
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			from := max(i-2, 0)
			return fmt.Sprintf("got  %s\nwant %s\nafter %s", g[i], w[i], strings.Join(g[from:i], "\n"))
		}
	}
	return "one is the beginning of the other:\n" + got + want
}

// cutTo keeps what a record that an injected failure cut short can speak of.
func cutTo(w, record *world) *world {
	groups, actors := map[string]bool{}, map[string]bool{}
	for _, g := range record.Groups {
		groups[g.Name] = true
	}
	for _, a := range record.Actors {
		actors[a.Name] = true
	}
	return &world{
		Groups: slices.DeleteFunc(slices.Clone(w.Groups), func(g RenderedGroup) bool { return !groups[g.Name] }),
		Actors: slices.DeleteFunc(slices.Clone(w.Actors), func(a worldActor) bool { return !actors[a.Name] }),
	}
}

// worthy leaves out actors that were created and never executed.
func (w *world) worthy() *world {
	w.Actors = slices.DeleteFunc(w.Actors, func(a worldActor) bool { return a.Argv == nil })
	return w
}
