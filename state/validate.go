package state

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// faults collects what is wrong with one object.
type faults []*Invalid

// add notes a fault. Those past MaxFaults are counted, by one that says how many.
func (f *faults) add(reason, path, format string, args ...any) {
	if n := len(*f); n > MaxFaults {
		rest := (*f)[n-1]
		rest.more++
		rest.Message = "and " + thousands(rest.more) + " more"
		return
	} else if n == MaxFaults {
		*f = append(*f, &Invalid{Reason: reason, Message: "and 1 more", more: 1})
		return
	}
	*f = append(*f, &Invalid{Reason: reason, Path: path, Message: fmt.Sprintf(format, clipWords(args)...)})
}

// has reports whether a fault was found at a place: one mistake is told once.
func (f *faults) has(path string) bool {
	return slices.ContainsFunc(*f, func(i *Invalid) bool { return i.Path == path })
}

// oneOf adds a fault unless value is one of allowed.
func (f *faults) oneOf(reason, path, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		f.add(reason, path, "%q is none of %s%s", value, strings.Join(allowed, ", "), didYouMean(value, allowed))
	}
}

// MaxReplicas bounds the workers of a role: each is looked at in every round, and one that
// waits for nodes to come has a placement group.
const MaxReplicas = 10_000

// maxResources bounds the GPUs and the CPUs of a worker, so that those of all replicas of
// many models fit an int.
const maxResources = 1 << 16

// MaxWarmProcesses bounds the worker processes that are kept ready on a node: each is there
// for one worker that is still to come, and holds memory until then.
const MaxWarmProcesses = 16

// maxExecText is how many bytes Linux takes as one word of a command line, or as one
// variable with its name, the NUL at the end left out (MAX_ARG_STRLEN).
const maxExecText = 128<<10 - 1

// within adds a fault if a count that is given is below its lowest value or above its
// highest one.
func (f *faults) within(path string, value *int, lowest, highest int) {
	switch {
	case value == nil:
	case *value < lowest:
		f.add(ReasonNegativeCount, path, "%d is too low; the lowest is %d", *value, lowest)
	case *value > highest:
		f.add(ReasonCountTooHigh, path, "%d is too high; the highest is %d", *value, highest)
	}
}

// maxDuration is longer than anything is waited for; agents refuse ten times as much.
const maxDuration = Duration(10_000 * time.Hour)

// positive adds a fault if a duration is not above zero, or has no end.
func (f *faults) positive(path string, d Duration) {
	switch {
	case d <= 0:
		f.add(ReasonNegativeCount, path, "%s is too short; it has to be above 0s", d)
	case d > maxDuration:
		f.add(ReasonCountTooHigh, path, "%s is too long; the longest is %s", d, maxDuration)
	}
}

func (f *faults) tristate(path string, value Tristate) {
	f.oneOf(ReasonUnknownValue, path, string(value), string(Auto), string(True), string(False))
}

// managedFlagSpec is a flag that dynctl sets itself, with the field to use instead.
type managedFlagSpec struct{ name, field string }

// workerFlags are the managed flags that the arguments of a model may not name,
// frontendFlags those that a server's frontend arguments may not, and routerFlags
// those that its router arguments may not.
var (
	workerFlags = []managedFlagSpec{
		{"served-model-name", "spec.servedName"},
		{"endpoint", "spec.servedName"},
		{"discovery-backend", ""},
		{"request-plane", "the server's spec.requestPlane"},
		{"event-plane", "the server's spec.eventPlane"},
		{"router-mode", "spec.router.mode"},
		{"router-kv-events", "spec.router.kvEvents"},
		{"kv-events-config", "spec.kvEventsConfig"},
		{"kv-events", "spec.router.kvEvents"},
		{"kv-transfer-config", "spec.kvTransferConfig"},
		{"disaggregation-mode", "spec.mode"},
		{"headless", ""},
		{"nnodes", ""},
		{"node-rank", ""},
		{"master-addr", ""},
		{"master-port", ""},
		{"dist-init-addr", ""},
		{"http-port", "the server's spec.frontend.port"},
		{"namespace", "the server's spec.dynamoNamespace"},
		{"namespace-prefix", "the server's spec.dynamoNamespace"},
		{"model", "spec.model"},
		{"model-path", "spec.model"},
		{"model-name", "spec.servedName"},
		{"load-aware", "spec.router.mode"},
	}
	frontendFlags = []managedFlagSpec{
		{"http-port", "spec.frontend.port"},
		{"namespace", "spec.dynamoNamespace"},
		{"namespace-prefix", "spec.dynamoNamespace"},
		{"discovery-backend", ""},
		{"request-plane", "spec.requestPlane"},
		{"event-plane", "spec.eventPlane"},
		{"router-mode", "spec.router.mode"},
		{"router-kv-events", "spec.router.kvEvents"},
	}
	routerFlags = []managedFlagSpec{
		{"router-mode", "spec.router.mode"},
		{"router-kv-events", "spec.router.kvEvents"},
	}
)

// managedFlag returns the managed flag that a key of arguments would set. The key
// is compared as it reaches the command line: "_" as "-", a leading "no-" taken
// off, and what follows a "=" (the value) or a "." (vllm's way into a JSON
// argument) cut off; and since argparse takes abbreviations, any prefix of a flag
// counts as the flag. A key without a name sets none.
func managedFlag(key string, flags []managedFlagSpec) (managedFlagSpec, bool) {
	dashed := strings.TrimLeft(flagName(key), "-")
	if i := strings.IndexAny(dashed, "=."); i > 0 {
		dashed = dashed[:i]
	}
	for _, name := range []string{dashed, strings.TrimPrefix(dashed, "no-")} {
		begins := func(flag managedFlagSpec) bool { return strings.HasPrefix(flag.name, name) }
		if i := slices.IndexFunc(flags, begins); name != "" && i >= 0 {
			return flags[i], true
		}
	}
	return managedFlagSpec{}, false
}

// managedArgs adds a fault for each key of args that sets one of flags.
func (f *faults) managedArgs(reason, path string, args Args, flags []managedFlagSpec) {
	for _, x := range args {
		flag, ok := managedFlag(x.Key, flags)
		if !ok {
			continue
		}
		f.managed(reason, path+"."+x.Key, x.Key, flag)
	}
}

// managed adds the fault of a key that sets a managed flag.
func (f *faults) managed(reason, at, key string, flag managedFlagSpec) {
	way := "remove it"
	if flag.field != "" {
		way += " and use " + flag.field
	}
	f.add(reason, at, "%q would set --%s, which dynctl sets itself; %s", key, flag.name, way)
}

// metadata adds the faults of an object's names.
func (f *faults) metadata(m Metadata, kind string) {
	const shape = "names start and end with a-z or 0-9 and hold at most %d characters of %s"
	if kind == KindServer {
		if !ValidServerName(m.Name) {
			f.add(ReasonInvalidName, "metadata.name", "%q cannot name a server; "+shape, m.Name, MaxNameLength, "a-z, 0-9 and -")
		}
		if m.Server != "" {
			f.add(ReasonInvalidName, "metadata.server", "a Server belongs to no server; remove it")
		}
		return
	}
	if !ValidModelName(m.Name) {
		f.add(ReasonInvalidName, "metadata.name", "%q cannot name a model; "+shape, m.Name, MaxNameLength, "a-z, 0-9, -, _ and .")
	}
	if !ValidServerName(m.Server) {
		f.add(ReasonInvalidName, "metadata.server", "%q cannot name a server; "+shape, m.Server, MaxNameLength, "a-z, 0-9 and -")
	}
}
