// Package router decides how requests are routed: the server-wide answer, what
// the frontend's command line says of it, and what the workers of a model carry
// in their own model card, which overrides the frontend for that model alone.
//
// It is pure and imports state alone. Every function takes specs with their
// defaults filled in, and looks at nothing else: no worker's routing ever depends
// on another model.
//
// Vocabulary: the mode is one of Dynamo's router modes; KV events are what workers
// publish about their KV cache, so that the kv router knows it exactly; a hybrid
// KV cache manager keeps a worker from publishing them.
//
// A server's mode auto decides both: with a disaggregated model it is kv with KV
// events, whatever router.kvEvents says; an explicit mode takes kvEvents as it is
// written, with auto for false.
package router
