package state

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"dynctl/state/engineflags"
)

var namespacePattern = regexp.MustCompile(`^[A-Za-z0-9]([-_A-Za-z0-9]*[A-Za-z0-9])?$`)

// ValidateServer returns the rules that s breaks, in the order of its fields.
// s has its defaults filled in.
func ValidateServer(s Server) []*Invalid { return ValidateServerFor(nil, s) }

// ValidateServerFor is ValidateServer with the command lines that the nodes take.
func ValidateServerFor(tables engineflags.Set, s Server) []*Invalid {
	var f faults
	sp := s.Spec
	f.metadata(s.Metadata, KindServer)
	if !namespacePattern.MatchString(sp.DynamoNamespace) {
		f.add(ReasonInvalidNamespace, "spec.dynamoNamespace",
			"%q cannot be a Dynamo namespace; use letters, digits, - and _, and no dots", sp.DynamoNamespace)
	}
	f.oneOf(ReasonUnknownPlane, "spec.requestPlane", sp.RequestPlane, PlaneNATS, PlaneTCP)
	f.oneOf(ReasonUnknownPlane, "spec.eventPlane", sp.EventPlane, PlaneNATS, PlaneZMQ)
	f.addresses("spec.etcd.endpoint", sp.Etcd.Endpoint, "http://10.0.0.1:2379")
	f.addresses("spec.nats.url", sp.NATS.URL, "nats://10.0.0.1:4222")
	if sp.Frontend.Port < 1 || sp.Frontend.Port > 65535 {
		f.add(ReasonInvalidAddress, "spec.frontend.port", "%d is not a port; use 1 to 65535", sp.Frontend.Port)
	}
	f.managedArgs(ReasonManagedFlag, "spec.frontend.args", sp.Frontend.Args, frontendFlags)
	f.argKeys("spec.frontend.args", sp.Frontend.Args)
	f.serverRouter(sp.Router)
	for _, field := range sp.argFields() {
		f.parserArgs(engineflags.Frontend, field, frontendTable(sp, tables), frontendFlags)
	}
	f.loadAware(sp)
	f.env("spec.env", sp.Env)
	f.runtimeEnv("spec.runtimeEnv", sp.RuntimeEnv, sp.RuntimeEnv, "the runtimeEnv")
	f.tristate("spec.placement.waitForNodes", sp.Placement.WaitForNodes)
	f.backoff(sp.Healing.Backoff)
	f.within("spec.warmPool.processesPerNode", &sp.WarmPool.ProcessesPerNode, 0, MaxWarmProcesses)
	return f
}

// argFields are those of a server, all for its frontend.
func (s ServerSpec) argFields() []argField {
	return []argField{{"spec.router.args", s.Router.Args}, {"spec.frontend.args", s.Frontend.Args}}
}

func (f *faults) serverRouter(r ServerRouter) {
	mode := NormalizeRouterMode(r.Mode)
	f.oneOf(ReasonUnknownRouterMode, "spec.router.mode", mode, append([]string{RouterAuto}, RouterModes()...)...)
	f.tristate("spec.router.kvEvents", r.KVEvents)
	if r.KVEvents == True && mode != RouterKV && mode != RouterAuto {
		f.add(ReasonKVEventsWithoutKV, "spec.router.kvEvents",
			"only the kv router reads KV events, and the mode is %s; set spec.router.mode to kv, or kvEvents to auto", mode)
	}
	f.managedArgs(ReasonReservedRouterArgs, "spec.router.args", r.Args, routerFlags)
	for _, x := range r.Args {
		if at := "spec.router.args." + x.Key; !f.has(at) { // they reach the frontend as its own do
			f.managedArgs(ReasonManagedFlag, "spec.router.args", Args{x}, frontendFlags)
		}
	}
	f.argKeys("spec.router.args", r.Args)
	if r.Apply != "" {
		f.oneOf(ReasonUnknownValue, "spec.router.apply", r.Apply, ApplyModel, ApplyFrontend)
	}
}

func (f *faults) backoff(b BackoffSpec) {
	const path = "spec.healing.backoff."
	f.positive(path+"initial", b.Initial)
	f.positive(path+"max", b.Max)
	if b.Max < b.Initial {
		f.add(ReasonNegativeCount, path+"max", "%s is below initial, %s; raise it", b.Max, b.Initial)
	}
	if !(b.Multiplier >= 1) { // also not a number
		f.add(ReasonNegativeCount, path+"multiplier", "%v is too low; the lowest is 1", b.Multiplier)
	}
	if b.Jitter != nil && !(*b.Jitter >= 0 && *b.Jitter <= 1) {
		f.add(ReasonNegativeCount, path+"jitter", "%v is not a fraction; use 0 to 1", *b.Jitter)
	}
	f.positive(path+"resetAfter", b.ResetAfter)
}

// addresses adds a fault for each address of a comma-separated list that cannot
// be dialled, with or without a scheme. An empty list is a managed service.
func (f *faults) addresses(path, list, example string) {
	if list == "" {
		return
	}
	if redacted(list) {
		f.add(ReasonInvalidAddress, path, "%s stands in it, which is what dynctl shows in place of a secret; write the secret itself", HiddenSecret)
		return
	}
	for address := range strings.SplitSeq(list, ",") {
		if !dialable(strings.TrimSpace(address)) {
			f.add(ReasonInvalidAddress, path, "%q is not an address; write it as %s", RedactURL(address), example)
		}
	}
}

// dialable reports whether an address has a host, and a port that is one if it has any.
func dialable(address string) bool {
	if _, rest, ok := strings.Cut(address, "://"); ok {
		address = rest
	}
	host, _, _ := strings.Cut(address, "/")
	if i := strings.LastIndexByte(host, '@'); i >= 0 { // user and password
		host = host[i+1:]
	}
	if strings.ContainsFunc(address, unicode.IsSpace) {
		return false
	}
	// The colons of an IPv6 address stand in brackets.
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		port, err := strconv.Atoi(host[i+1:])
		if err != nil || port < 1 || port > 65535 {
			return false
		}
		host = host[:i]
	}
	return strings.Trim(host, "[]") != ""
}
