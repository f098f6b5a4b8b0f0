package state

// servedNamePattern is one word that does not read as a flag.
const servedNamePattern = `^[^\s,-][^\s,]*$`

// flagKeys are the keys of arguments: a flag without its dashes and its value.
var flagKeys = schemaNode{"propertyNames": schemaNode{"pattern": `^[^\s=-][^\s=]*$`}}

// schemaFields holds what the schema says of a field beyond its type, by its path;
// "Kind:path" where the two kinds differ.
var schemaFields = map[string]fieldSchema{
	"apiVersion":  {enum: []string{APIVersion}, required: true},
	"Server:kind": {enum: []string{KindServer}, required: true},
	"Model:kind":  {enum: []string{KindModel}, required: true},
	"metadata":    {text: "What the object is called.", required: true},
	"Server:metadata.name": {
		text: "The name of the server.", required: true,
		extra: schemaNode{"pattern": serverNamePattern, "maxLength": MaxNameLength},
	},
	"Model:metadata.name": {
		text: "The name of the model, unique on its server.", required: true,
		extra: schemaNode{"pattern": modelNamePattern, "maxLength": MaxNameLength},
	},
	"metadata.server": {
		text: "The server that the model belongs to.", value: DefaultServer,
		extra: schemaNode{"pattern": serverNamePattern, "maxLength": MaxNameLength},
	},
	"metadata.annotations": {text: "Notes for programs; " + RecreateAnnotation + " with the revision that is replaced allows a Server to move its etcd or NATS."},

	"spec.dynamoNamespace": {
		text: "The stem of the Dynamo namespaces, without dots.", value: DefaultDynamoNamespace,
		extra: schemaNode{"pattern": namespacePattern.String()},
	},
	"spec.requestPlane":           {text: "What carries requests to workers.", enum: []string{PlaneNATS, PlaneTCP}, value: PlaneNATS},
	"spec.eventPlane":             {text: "What carries KV events to the router.", enum: []string{PlaneNATS, PlaneZMQ}, value: PlaneNATS},
	"spec.etcd":                   {text: "The etcd that Dynamo registers in."},
	"spec.etcd.endpoint":          {text: "An external etcd, used as it is written; empty: one is run.", value: ""},
	"spec.nats":                   {text: "The NATS of Dynamo's data plane."},
	"spec.nats.url":               {text: "An external NATS, used as it is written; empty: one is run.", value: ""},
	"spec.frontend":               {text: "Dynamo's HTTP frontend."},
	"spec.frontend.port":          {text: "The HTTP port; where it is taken, the frontend waits.", value: DefaultFrontendPort, extra: schemaNode{"minimum": 1, "maximum": 65535}},
	"spec.frontend.args":          {text: "More flags of dynamo.frontend, in this order.", extra: flagKeys},
	"Server:spec.router":          {text: "The server-wide routing."},
	"Server:spec.router.mode":     {text: "The router mode; auto is kv for disaggregated models.", enum: modeEnum(RouterAuto), value: RouterAuto},
	"Server:spec.router.kvEvents": {text: "Whether the kv router reads KV events; auto: with an automatic kv it does, with an explicit one it does not."},
	"spec.router.args":            {text: "More router flags of dynamo.frontend, in this order.", extra: flagKeys},
	"spec.router.apply": {
		text: "Under auto: each disaggregated model carries its routing itself, or the frontend does.",
		enum: []string{ApplyModel, ApplyFrontend}, value: ApplyModel,
	},
	"Server:spec.env":                {text: "Variables of the workers and the frontend."},
	"Server:spec.runtimeEnv":         {text: "Ray runtime_env of all models; each model's is merged over it."},
	"Server:spec.placement":          {text: "Which nodes units may run on."},
	"spec.placement.excludeHeadNode": {text: "Keep units off the Ray head node."},
	"spec.placement.nodeSelector":    {text: "Ray node labels that a node must have; those of a Server count for etcd, NATS and the frontend alone."},
	"spec.placement.waitForNodes":    {text: "Whether what fits nowhere waits for nodes to come; auto: where Ray autoscales."},
	"spec.healing":                   {text: "How exits are followed by a new execution."},
	"spec.healing.backoff":           {text: "The first restart is at once; later ones back off."},
	"spec.healing.backoff.initial":   {value: "1s"},
	"spec.healing.backoff.max":       {value: "5m"},
	"spec.healing.backoff.multiplier": {
		value: 2, extra: schemaNode{"minimum": 1},
	},
	"spec.healing.backoff.jitter":     {text: "The fraction by which a delay may differ.", value: 0.2, extra: schemaNode{"minimum": 0, "maximum": 1}},
	"spec.healing.backoff.resetAfter": {text: "How long a process must have been ready to forget earlier exits.", value: "10m"},

	"spec.warmPool": {text: "What is kept ready for workers that are still to come."},
	"spec.warmPool.processesPerNode": {
		text:  "Idle worker processes of Ray's on each node, some 45 MB each: starts take a second less. The largest of several servers counts; not for a runtimeEnv.",
		value: 0, extra: schemaNode{"minimum": 0, "maximum": MaxWarmProcesses},
	},

	"Model:spec":       {required: true},
	"spec.model":       {text: "A hub id or a path, passed to the engine as it is written.", required: true, extra: schemaNode{"type": "string", "minLength": 1, "pattern": "^[^-]"}},
	"spec.servedName":  {text: "The name that clients use; the model where none is given.", extra: schemaNode{"pattern": servedNamePattern}},
	"spec.engine":      {text: "The engine, run as python -m dynamo.<engine>.", enum: []string{EngineVLLM, EngineSGLang, EngineTRTLLM, EngineMocker}, value: EngineVLLM},
	"spec.mode":        {text: "Whether prefill and decode share workers.", enum: []string{ModeAggregated, ModeDisagg}, value: ModeAggregated},
	"spec.replicas":    {text: "Workers of an aggregated model; 0: none.", value: 1, extra: schemaNode{"minimum": 0, "maximum": MaxReplicas}},
	"spec.prefill":     {text: "Prefill workers of a disaggregated model."},
	"spec.decode":      {text: "Decode workers of a disaggregated model."},
	"spec.engineArgs":  {text: "Flags of the engine, in this order; true is a bare flag, false is --no-<flag>, null is none.", extra: flagKeys},
	"spec.dynamoArgs":  {text: "More flags of dynamo.<engine>, in this order.", extra: flagKeys},
	"spec.priority":    {text: "Who runs first where GPUs are short; higher first.", value: 0},
	"spec.restart":     {text: "Any new text restarts all workers in place; without one nothing is restarted."},
	"spec.suspend":     {text: "Stop all workers and keep the spec.", value: false},
	"Model:spec.env":   {text: "Variables of the workers."},
	"spec.update":      {text: "How many workers a roll may replace at a time, per role."},
	"spec.update.type": {enum: []string{UpdateRolling}, value: UpdateRolling},

	"spec.kvEventsConfig":        {text: "A template for --kv-events-config (vllm, sglang)."},
	"spec.kvTransferConfig":      {text: "The KV connector (vllm): replaces the default one of disaggregated workers, and gives one to aggregated ones."},
	"Model:spec.router":          {text: "The model's own routing, which overrides the server's for it alone."},
	"Model:spec.router.mode":     {text: "The router mode of this model; inherit is the server's.", enum: modeEnum(RouterInherit), value: RouterInherit},
	"Model:spec.router.kvEvents": {text: "Whether its workers publish KV events for the kv router."},
	"Model:spec.runtimeEnv":      {text: "Ray runtime_env of the workers, merged over the server's."},
	"spec.resources":             {text: "What one worker needs."},
	"spec.resources.gpus": {
		text:  "Whole GPUs; where not set, the product of the parallel sizes (tensor, pipeline, data, prefill context).",
		extra: schemaNode{"minimum": 0, "maximum": maxResources},
	},
	"spec.resources.cpus":         {value: 1, extra: schemaNode{"minimum": 0, "maximum": maxResources}},
	"Model:spec.placement":        {text: "Which nodes the workers may run on; what is not set is as the server says."},
	"spec.update.maxSurge":        {text: "Workers beyond the wanted number while rolling.", value: 1, extra: schemaNode{"minimum": 0, "maximum": MaxReplicas}},
	"spec.update.maxUnavailable":  {text: "Workers that may be missing while rolling; not set: one where nothing can surge.", extra: schemaNode{"minimum": 0, "maximum": MaxReplicas}},
	"spec.startupTimeout":         {text: "How long a worker may take to become healthy; vllm is told to wait as long.", value: "30m"},
	"spec.terminationGracePeriod": {text: "How long a worker may drain after SIGTERM.", value: "120s"},
}

// roleFields are the fields of a role over its model's, with what they are.
var roleFields = map[string]fieldSchema{
	"replicas":                  {value: 1, extra: schemaNode{"minimum": 1}},
	"engineArgs":                {text: "Flags of the engine over those of the model; null takes one of the model's away.", extra: flagKeys},
	"dynamoArgs":                {text: "Flags of dynamo.<engine> over those of the model; null takes one of the model's away.", extra: flagKeys},
	"kvEventsConfig":            {text: "Keys over the model's template for --kv-events-config."},
	"kvTransferConfig":          {text: "Keys over the model's KV connector."},
	"env":                       {text: "Variables over those of the model."},
	"resources":                 {text: "What one worker of this role needs, where it differs from the model's."},
	"resources.gpus":            {text: "Whole GPUs; where not set, as the model says.", extra: schemaNode{"minimum": 0}},
	"resources.cpus":            {text: "CPUs; where not set, as the model says.", extra: schemaNode{"minimum": 0}},
	"placement":                 {text: "Which nodes the workers of this role may run on."},
	"placement.excludeHeadNode": {text: "Keep workers off the Ray head node; where not set, as the model says."},
	"placement.nodeSelector":    {text: "Ray node labels that a node must have besides those that the model asks for."},
}
